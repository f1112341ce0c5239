// What is around the chip: levels on its pins, pulse trains, timers of devices.
// Rules: the world keeps its own time, in nanoseconds since power on, and outlives a reset of the chip; a pin shows
// what the chip drives, else what the world drives, else its pull, else low; what the chip drives is recorded.

const PIN_COUNT = 30;
const EDGE_BATCH = 4096; // a run loop slice never records more than this without handing them over

export class World {
  /** `onEdges(list)` gets [pin, level, microseconds], `onPin(pin, level)` is asked at once for pins in `listened`. */
  constructor({ onEdges, onPin }) {
    this.onEdges = onEdges;
    this.onPin = onPin;
    this.base = 0;
    this.mcu = null;
    this.beforeChange = () => {};
    this.timers = new Map();
    this.nextTimer = 0;
    this.driven = new Array(PIN_COUNT).fill(null);
    this.levels = new Array(PIN_COUNT).fill(0);
    this.trains = new Map();
    this.chipDrives = new Array(PIN_COUNT).fill(false);
    this.listened = new Set();
    this.edges = [];
    this.adc = new Map();
  }

  /** Nanoseconds since power on. */
  get now() {
    return this.base + (this.mcu ? this.mcu.clock.nanos : 0);
  }

  /** Put this chip on the board; the chip before it is gone. `beforeChange()` is called before a level changes. */
  attach(mcu, beforeChange) {
    this.base = this.now;
    this.mcu = mcu;
    this.beforeChange = beforeChange;
    for (const [channel, value] of this.adc) mcu.adc.channelValues[channel] = value;
    for (const pin of mcu.gpio) {
      pin.addListener(() => this.#settle(pin.index));
      if (this.levels[pin.index]) pin.setInputValue(true);
      this.#settle(pin.index);
    }
    for (const timer of this.timers.values()) this.#arm(timer);
  }

  /** Call `action` after `nanos`; returns a number for `cancel`. */
  after(nanos, action) {
    this.nextTimer += 1;
    const timer = { id: this.nextTimer, at: this.now + nanos, action, alarm: null };
    this.timers.set(timer.id, timer);
    this.#arm(timer);
    return timer.id;
  }

  cancel(id) {
    this.timers.get(id)?.alarm.cancel();
    this.timers.delete(id);
  }

  /** Drive a pin 0 or 1 from outside; null lets go. */
  drive(pin, level) {
    this.driven[pin] = level;
    this.#settle(pin);
  }

  /** A pulse train of `hz`, low for (1 - duty) of each period, starting with the fall; hz 0 stops it. */
  pulses(pin, { hz, duty, count, openDrain }) {
    this.cancel(this.trains.get(pin));
    this.trains.delete(pin);
    const high = openDrain ? null : 1;
    this.drive(pin, high);
    if (!hz) return;
    const period = 1e9 / hz;
    let left = count ?? Infinity;
    // Each edge is scheduled from the train's start, so that rounding never adds up.
    const start = this.now + period * duty;
    let turn = 0;
    const fall = () => {
      this.drive(pin, 0);
      this.trains.set(pin, this.after(start + turn * period + period * (1 - duty) - this.now, rise));
    };
    const rise = () => {
      this.drive(pin, high);
      left -= 1;
      turn += 1;
      if (left > 0) this.trains.set(pin, this.after(start + turn * period - this.now, fall));
      else this.trains.delete(pin);
    };
    this.trains.set(pin, this.after(start - this.now, fall));
  }

  /** Raw 12-bit value of an ADC channel (4 is the chip's temperature sensor). */
  setAdc(channel, value) {
    this.adc.set(channel, value);
    if (this.mcu) this.mcu.adc.channelValues[channel] = value;
  }

  /** Hand over the edges recorded so far. */
  flush() {
    if (!this.edges.length) return;
    const edges = this.edges;
    this.edges = [];
    this.onEdges(edges);
  }

  #arm(timer) {
    timer.alarm = this.mcu.clock.createAlarm(() => {
      this.timers.delete(timer.id);
      timer.action();
    });
    timer.alarm.schedule(Math.max(0, timer.at - this.now));
  }

  #settle(index) {
    const pin = this.mcu.gpio[index];
    const level = this.#level(pin, index);
    const drives = pin.outputEnable;
    const drove = this.chipDrives[index];
    this.chipDrives[index] = drives;
    if (level === this.levels[index]) return;
    this.beforeChange();
    this.levels[index] = level;
    pin.setInputValue(level === 1);
    if (drives || drove) {
      this.edges.push([index, level, Math.round(this.now / 1000)]);
      if (this.edges.length >= EDGE_BATCH) this.flush();
    }
    if (this.listened.has(index)) this.onPin(index, level);
  }

  #level(pin, index) {
    if (pin.outputEnable) return pin.outputValue ? 1 : 0;
    if (this.driven[index] !== null) return this.driven[index];
    if (pin.pullupEnabled) return pin.pulldownEnabled ? this.levels[index] : 1;
    return 0;
  }
}
