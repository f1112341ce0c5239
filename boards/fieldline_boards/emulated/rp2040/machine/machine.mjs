// An emulated RP2040 board: chip, flash, USB cable and what is wired to the pins, run at a set pace.
// Rules: all that happens is in emulated time; a reset makes a new chip and keeps flash, watchdog registers and
// the world; nothing here knows how the host talks to it.

import { Buses } from './buses.mjs';
import { UsbConsole } from './console.mjs';
import { FlashChip } from './flash.mjs';
import { attachPio } from './pio.mjs';
import { attachPwm } from './pwm.mjs';
import { RingOscillator } from './rosc.mjs';
import { World } from './world.mjs';

const FLASH_ENTRY = 0x10000000; // RP2040 datasheet 2.6.3: the second stage of the boot, in flash
const SLICE_MS = 4; // how long the host's messages may have to wait
const REST_MS = 2; // how long a chip that has caught up with real time, or has nothing to do, is left alone
const STEPS = 2048; // between two looks at the wall clock
const SLIP_NS = 50e6; // further behind real time than this is given up, not caught up
const HORIZON_NS = 1e9; // an idle chip without any timer is looked at again after this

export class Machine {
  /** `library` is rp2040js; `tell(message)` reports to the host; `ask(question)` waits for its answer. */
  constructor({ library, flash, counter, bootrom, uniqueId, seed, timed, pace, buses, tell, ask }) {
    this.library = library;
    this.tell = tell;
    this.bootrom = bootrom;
    this.pace = pace;
    this.alive = true;
    this.steps = 0;
    this.flash = new FlashChip({ file: flash, counter, uniqueId, timed });
    this.flash.onCut = (what) => {
      this.alive = false;
      this.world.flush();
      tell({ say: 'power_lost', ...what, us: this.micros });
    };
    this.oscillator = new RingOscillator(seed);
    this.world = new World({
      onEdges: (edges) => tell({ say: 'edges', edges }),
      onPin: (pin, level) => ask({ pin, level }),
    });
    this.console = new UsbConsole({
      library,
      onData: (bytes) => tell({ say: 'console', text: bytes.toString('latin1') }),
      onReady: () => tell({ say: 'ready', us: this.micros }),
    });
    this.buses = new Buses({ library, ask, used: buses });
  }

  /** Microseconds since power on. */
  get micros() {
    return Math.round(this.world.now / 1000);
  }

  /** Start the chip at the flash's entry, as the boot ROM does once it has found it. */
  boot(watchdog = null) {
    const mcu = new this.library.RP2040();
    mcu.logger = {
      debug() {},
      info() {},
      warn() {},
      error: (part, text) => this.tell({ say: 'trouble', text: `${part}: ${text}` }),
    };
    mcu.loadBootrom(this.bootrom);
    this.flash.attach(mcu);
    const dog = mcu.peripherals[0x40058];
    if (watchdog) {
      // RP2040 datasheet 4.7.5: reason and scratch registers survive a watchdog reset.
      dog.scratchData.set(watchdog.scratchData);
      dog.reason = watchdog.reason;
    }
    dog.onWatchdogTrigger = () => {
      dog.alarm.enable = false; // else it fires again at once, without end
      this.restart = dog;
    };
    this.restart = null;
    this.mcu = mcu;
    this.oscillator.attach(mcu);
    attachPwm(mcu);
    this.world.attach(mcu, attachPio(mcu));
    this.buses.attach(mcu);
    this.console.attach(mcu);
    mcu.core.PC = FLASH_ENTRY;
    this.#synchronise();
  }

  /** Reset from outside (the RUN pin). */
  reset() {
    this.tell({ say: 'reset', cause: 'run', us: this.micros });
    this.boot();
  }

  /** Run one slice; returns milliseconds to wait before the next, null where power is gone. */
  slice() {
    const end = performance.now() + SLICE_MS;
    let idle = false;
    while (this.alive && !idle && performance.now() < end) {
      idle = this.#run(this.pace ? this.#target() : Infinity);
      if (this.restart) this.#watchdogReset();
    }
    this.world.flush();
    if (!this.alive) return null;
    return idle ? REST_MS : 0;
  }

  /** Up to STEPS instructions, not beyond `limit` (emulated ns); true where there was nothing left to do. */
  #run(limit) {
    const { core, clock } = this.mcu;
    const cycleNs = 1e9 / this.mcu.clkSys;
    const stop = limit - this.world.base;
    for (let step = 0; step < STEPS; step += 1) {
      if (core.waiting) {
        const next = clock.nextAlarm ? clock.nanosToNextAlarm : HORIZON_NS;
        const room = stop - clock.nanos;
        if (room <= 0 || (!clock.nextAlarm && room === Infinity)) return true;
        clock.tick(Math.min(next, room));
      } else {
        if (clock.nanos >= stop) return true;
        clock.tick(core.executeInstruction() * cycleNs);
        this.steps += 1;
      }
      if (this.restart || !this.alive) return false;
    }
    return false;
  }

  #watchdogReset() {
    const dog = this.restart;
    this.tell({ say: 'reset', cause: dog.reason & 1 ? 'watchdog' : 'own', us: this.micros });
    this.boot(dog);
  }

  #synchronise() {
    this.wallStart = performance.now();
    this.emulatedStart = this.world.now;
  }

  /** How far emulated time may go by now. */
  #target() {
    const target = this.emulatedStart + (performance.now() - this.wallStart) * 1e6 * this.pace;
    if (target - this.world.now > SLIP_NS) {
      this.#synchronise();
      return this.world.now + SLICE_MS * 1e6;
    }
    return target;
  }
}
