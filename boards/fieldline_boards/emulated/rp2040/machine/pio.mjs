// Gives the state machines of the PIO blocks the chip's time: rp2040js 1.4.1 lets them run on the host's.
// Rules: an instruction takes one cycle of the machine's divided clock and its delay (RP2040 datasheet 3.5.5); a
// machine that waits costs nothing until a pin, a FIFO or a flag lets it go on.

const CTRL = 0x000;
const LARGEST_DIVISOR = 65536; // RP2040 datasheet 3.7, SM0_CLKDIV.INT: 0 is 65536

/** Run this chip's PIO blocks by its clock. */
export function attachPio(mcu) {
  for (const pio of mcu.pio) {
    const machines = pio.machines.map((machine) => new PioTimer(mcu, pio, machine));
    pio.run = () => {};
    const write = pio.writeUint32.bind(pio);
    pio.writeUint32 = (offset, value) => {
      write(offset, value);
      if (offset === CTRL) for (const machine of machines) machine.enabled(machine.machine.enabled);
    };
  }
}

class PioTimer {
  constructor(mcu, pio, machine) {
    this.mcu = mcu;
    this.pio = pio;
    this.machine = machine;
    this.due = false;
    this.alarm = mcu.clock.createAlarm(() => this.#step());
    const check = machine.checkWait.bind(machine);
    machine.checkWait = () => {
      const waited = machine.waiting;
      check();
      if (waited && !machine.waiting && machine.enabled) this.#schedule(1 + Math.max(0, machine.waitDelay));
    };
  }

  enabled(on) {
    if (!on) {
      this.alarm.cancel();
      this.due = false;
    } else if (!this.due && !this.machine.waiting) {
      this.#schedule(1);
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
    const { clockDivInt, clockDivFrac } = this.machine;
    this.due = true;
    const divisor = (clockDivInt || LARGEST_DIVISOR) + clockDivFrac / 256;
    this.alarm.schedule((cycles * divisor * 1e9) / this.mcu.clkSys);
  }
}
