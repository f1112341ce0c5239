// Gives the state machines of the PIO blocks the chip's time: rp2040js 1.4.1 lets them run on the host's.
// Rules: an instruction takes one cycle of the machine's divided clock and its delay (RP2040 datasheet 3.5.5); a
// machine that waits costs nothing until a pin, a FIFO or a flag lets it go on. One whose program touches nothing
// outside of it is not run at its time but when someone looks, or before a pin changes: it can't tell.

const CTRL = 0x000;
const LARGEST_DIVISOR = 65536; // RP2040 datasheet 3.7, SM0_CLKDIV.INT: 0 is 65536
const WORDS = 32;

/** Run this chip's PIO blocks by its clock; returns what is to be called before a pin's level changes. */
export function attachPio(mcu) {
  const all = [];
  for (const pio of mcu.pio) {
    const machines = pio.machines.map((machine) => new PioTimer(mcu, pio, machine));
    all.push(...machines);
    pio.run = () => {};
    const read = pio.readUint32.bind(pio);
    pio.readUint32 = (offset) => {
      for (const machine of machines) machine.catchUp();
      return read(offset);
    };
    const write = pio.writeUint32.bind(pio);
    pio.writeUint32 = (offset, value) => {
      for (const machine of machines) machine.catchUp();
      write(offset, value);
      for (const machine of machines) machine.changed(offset === CTRL);
    };
  }
  return () => {
    for (const machine of all) machine.catchUp();
  };
}

class PioTimer {
  constructor(mcu, pio, machine) {
    this.mcu = mcu;
    this.pio = pio;
    this.machine = machine;
    this.due = false;
    this.next = null; // ns, of the next instruction of a machine that is run when someone looks
    this.alarm = mcu.clock.createAlarm(() => this.#step());
    const check = machine.checkWait.bind(machine);
    machine.checkWait = () => {
      const waited = machine.waiting;
      check();
      if (waited && !machine.waiting && machine.enabled) this.#schedule(1 + Math.max(0, machine.waitDelay));
    };
  }

  /** A register of the block was written; `control`: the one that starts and stops machines. */
  changed(control) {
    const { machine } = this;
    if (!machine.enabled) {
      if (control) this.#stop();
    } else if (this.next !== null) {
      if (machine.waiting || !this.#isQuiet()) {
        const left = this.next - this.mcu.clock.nanos;
        this.#stop();
        if (!machine.waiting) this.#arm(Math.max(0, left));
      }
    } else if (control && !this.due && !machine.waiting) {
      this.#schedule(1);
    }
  }

  /** Runs what is due by now. */
  catchUp() {
    if (this.next === null) return;
    const { machine } = this;
    const now = this.mcu.clock.nanos;
    const cycle = this.#cycleNs();
    while (this.next <= now) {
      const before = machine.cycles;
      machine.step();
      this.next += Math.max(1, machine.cycles - before) * cycle;
    }
  }

  #step() {
    const { machine } = this;
    this.due = false;
    const before = machine.cycles;
    machine.step();
    this.pio.checkChangedPins();
    if (machine.enabled && !machine.waiting) this.#schedule(Math.max(1, machine.cycles - before));
  }

  #schedule(cycles) {
    const nanos = cycles * this.#cycleNs();
    if (this.#isQuiet()) this.next = this.mcu.clock.nanos + nanos;
    else this.#arm(nanos);
  }

  #arm(nanos) {
    this.due = true;
    this.alarm.schedule(nanos);
  }

  #stop() {
    this.alarm.cancel();
    this.due = false;
    this.next = null;
  }

  #cycleNs() {
    const { clockDivInt, clockDivFrac } = this.machine;
    return (((clockDivInt || LARGEST_DIVISOR) + clockDivFrac / 256) * 1e9) / this.mcu.clkSys;
  }

  /** Whether no instruction that can be reached has to do with pins it drives, FIFOs, flags or waiting. */
  #isQuiet() {
    const { machine, pio } = this;
    if (machine.sidesetCount || machine.execValid) return false;
    const reached = new Set();
    const waiting = [machine.pc];
    while (waiting.length) {
      const at = waiting.pop();
      if (reached.has(at)) continue;
      reached.add(at);
      const word = pio.instructions[at];
      if (!isQuiet(word)) return false;
      if (word >>> 13 === 0) waiting.push(word & 0x1f);
      if (word >>> 13 !== 0 || (word >> 5) & 7) {
        waiting.push(at === machine.wrapTop ? machine.wrapBottom : (at + 1) % WORDS);
      }
    }
    return true;
  }
}

/** RP2040 datasheet 3.4: jmp; mov to x, y, isr, osr; set x, y. */
function isQuiet(word) {
  const destination = (word >> 5) & 7;
  switch (word >>> 13) {
    case 0b000:
      return true;
    case 0b101:
      return [1, 2, 6, 7].includes(destination) && (word & 7) !== 5; // not from the FIFOs' status
    case 0b111:
      return destination === 1 || destination === 2;
    default:
      return false;
  }
}
