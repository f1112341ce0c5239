// Pins: levels, pulse trains at inputs, interrupt handlers, edge counters, and the record of output edges.
//
// Rules: a train is a stream of edges at exact times; `pump()` delivers all that are due, in order of time over all
// pins, to handlers and counters. A pin nobody listens to costs nothing but its level.
const RISING = 1;
const FALLING = 2;

const MOST_EDGES_AT_ONCE = 20000; // a pump delivers no more; a VM that stood still for long skips what is older

// A square wave: a falling edge at `start`, then one every half period. Tachometers idle high (open collector).
class Train {
  constructor(hz, start) {
    this.half = 500000 / hz;
    this.start = start;
    this.next = 0;
  }

  time() {
    return this.start + this.next * this.half;
  }

  kind() {
    return this.next % 2 ? RISING : FALLING;
  }

  // Level after all edges up to `now`.
  skipTo(now) {
    this.next = Math.max(this.next, Math.floor((now - this.start) / this.half) + 1);
  }

  lastFalling() {
    return this.next === 0 ? null : this.start + (this.next - 1 - ((this.next - 1) % 2)) * this.half;
  }
}

class Pin {
  constructor(number) {
    this.number = number;
    this.output = false;
    this.level = 0; // what the chip drives
    this.outside = null; // what the world drives, null where nothing does
    this.pull = 0;
    this.train = null;
    this.fell = null; // time of the last falling edge of a train
    this.trigger = 0;
    this.handler = null;
    this.counters = new Set();
  }

  read() {
    return this.output ? this.level : (this.outside ?? this.pull);
  }

  listened() {
    return this.handler !== null || this.counters.size > 0;
  }
}

export class Pins {
  // `report(event)` tells the world of an output's edge or of a broken handler.
  constructor(clock, report) {
    this.clock = clock;
    this.report = report;
    this.all = new Map();
    this.enabled = true;
    this.pumping = false;
    this.changed = () => {}; // called when untilNext() may have become shorter
  }

  pin(number) {
    let pin = this.all.get(number);
    if (!pin) this.all.set(number, (pin = new Pin(number)));
    return pin;
  }

  // ---- the chip's side

  configure(number, output, pull, level) {
    const pin = this.pin(number);
    pin.pull = pull;
    if (output !== null) pin.output = output;
    if (level !== null) this.write(number, level);
  }

  read(number) {
    this.pump();
    return this.pin(number).read();
  }

  write(number, level) {
    const pin = this.pin(number);
    const changed = pin.output && pin.level !== level;
    pin.level = level;
    if (changed) this.report({ type: 'edge', pin: number, level, at: this.clock.host(this.clock.now()) });
  }

  listen(number, trigger, handler) {
    this.pump();
    Object.assign(this.pin(number), { trigger, handler });
    this.changed();
  }

  attach(number, counter) {
    this.pump();
    this.pin(number).counters.add(counter);
  }

  detach(number, counter) {
    this.pin(number).counters.delete(counter);
  }

  // ---- the world's side

  // The world drives a pin to `level`; null lets go of it.
  drive(number, level) {
    this.pump();
    const pin = this.pin(number);
    pin.train = null;
    this.moveTo(pin, level);
  }

  // A train of `hz` pulses a second from now on, in step with the one before; 0 stops it.
  pulse(number, hz) {
    this.pump();
    const pin = this.pin(number);
    const now = this.clock.now();
    if (pin.train && !pin.listened()) this.skip(pin, now);
    const due = pin.fell === null ? now : pin.fell + 1e6 / hz;
    pin.train = hz > 0 ? new Train(hz, Math.max(now, due)) : null;
    this.moveTo(pin, 1);
    this.changed();
  }

  // Delivers every edge that is due.
  pump() {
    if (this.pumping || !this.enabled) return;
    this.pumping = true;
    try {
      const now = this.clock.now();
      const running = [...this.all.values()].filter((pin) => pin.train);
      for (const pin of running) if (!pin.listened()) this.skip(pin, now);
      const heard = running.filter((pin) => pin.listened());
      for (let left = MOST_EDGES_AT_ONCE; left > 0; left -= 1) {
        const pin = earliest(heard);
        if (!pin || pin.train.time() > now) return;
        const { train } = pin;
        const time = train.time();
        const kind = train.kind();
        train.next += 1;
        pin.outside = kind === RISING ? 1 : 0;
        if (kind === FALLING) pin.fell = time;
        this.edge(pin, kind, time);
      }
      for (const pin of heard) if (pin.train) this.skip(pin, now);
    } finally {
      this.pumping = false;
    }
  }

  // Microseconds until a handler has an edge to see, or null.
  untilNext() {
    if (!this.enabled) return null;
    const waiting = [...this.all.values()].filter((pin) => pin.train && pin.handler);
    const pin = earliest(waiting);
    return pin ? pin.train.time() - this.clock.now() : null;
  }

  skip(pin, now) {
    pin.train.skipTo(now);
    pin.outside = pin.train.next % 2 ? 0 : 1;
    pin.fell = pin.train.lastFalling() ?? pin.fell;
  }

  moveTo(pin, level) {
    const before = pin.read();
    pin.outside = level;
    const after = pin.read();
    if (before !== after) this.edge(pin, after ? RISING : FALLING, this.clock.now());
  }

  edge(pin, kind, time) {
    for (const counter of pin.counters) counter.edge(kind);
    if (pin.handler && pin.trigger & kind) this.interrupt(pin, time);
  }

  // As the ports do: a handler that raises is reported and switched off.
  interrupt(pin, time) {
    try {
      this.clock.at(time, pin.handler);
    } catch (error) {
      pin.handler = null;
      this.report({ type: 'handler', text: error.message });
    }
  }
}

function earliest(pins) {
  let found = null;
  for (const pin of pins) if (pin.train && (!found || pin.train.time() < found.train.time())) found = pin;
  return found;
}

// A hardware pulse counter (ESP32 PCNT).
export class Counter {
  constructor(pins, number, kinds, step) {
    Object.assign(this, { pins, number, kinds, step, count: 0 });
    pins.attach(number, this);
  }

  edge(kind) {
    if (this.kinds & kind) this.count += this.step;
  }

  value() {
    this.pins.pump();
    return this.count;
  }

  set(count) {
    this.count = count;
  }

  close() {
    this.pins.detach(this.number, this);
  }
}
