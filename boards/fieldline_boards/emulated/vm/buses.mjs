// The chip's buses, wired to emulated sensor chips in the host's process (emulated/chips/rig.py).
//
// Rules: a question stands the VM still until it is answered. A line holds one question or answer as JSON and is
// shorter than a pipe writes at once, so a VM that was killed leaves no half of one; answers to a VM that is gone
// are known by their number and thrown away. A board without a rig has buses with nothing on them.
import fs from 'node:fs';

import { memory } from './micropython.mjs';

const DONE = 0; // what i2c() gives
const FAULTS = { nack: 1, timeout: 2 };
const NEWLINE = 10;
const ABSENT = { i2c: { fault: 'nack' }, wire: { bit: 1, data: [] } };

export class Line {
  // `ask`, `answer`: paths of the two pipes.
  constructor({ ask, answer }) {
    this.out = fs.openSync(ask, 'w');
    this.in = fs.openSync(answer, 'r');
    this.number = process.pid * 2 ** 16;
    this.left = Buffer.alloc(0);
  }

  ask(question) {
    this.number += 1;
    fs.writeSync(this.out, `${JSON.stringify({ ...question, number: this.number })}\n`);
    for (;;) {
      const answer = JSON.parse(this.line());
      if (answer.number !== this.number) continue;
      if (answer.error) throw new Error(answer.error);
      return answer;
    }
  }

  line() {
    const piece = Buffer.alloc(4096);
    for (;;) {
      const end = this.left.indexOf(NEWLINE);
      if (end >= 0) {
        const line = this.left.subarray(0, end).toString();
        this.left = this.left.subarray(end + 1);
        return line;
      }
      this.left = Buffer.concat([this.left, piece.subarray(0, fs.readSync(this.in, piece))]);
    }
  }
}

// Adds the buses to `module` (the VM's `_hw`). `rig`: {ask, answer, pins} of rigline.py, or nothing.
export function attachBuses({ vm, module, rig }) {
  const line = rig ? new Line(rig) : null;
  let watched = new Set(rig?.pins ?? []);
  const ask = (question) => line.ask(question);
  const bytes = (address, length) => [...memory(vm, address, length)];
  const wire = (pin, what) => (line ? ask({ wire: pin, ...what }) : ABSENT.wire);

  module.i2c = (bus, address, out, outLength, into, count) => {
    const answer = line
      ? ask({ i2c: bus, address, out: bytes(out, outLength), count })
      : ABSENT.i2c;
    if (answer.fault) return FAULTS[answer.fault];
    memory(vm, into, count).set(answer.data);
    return DONE;
  };
  module.wire_reset = (pin) => (line ? wire(pin, {}).bit : 0);
  module.wire_slot = (pin, bit) => wire(pin, { slot: bit }).bit;
  module.wire_write = (pin, out, length) => { wire(pin, { out: bytes(out, length) }); };
  module.wire_read = (pin, into, count) => memory(vm, into, count).fill(0xff).set(wire(pin, { count }).data);
  if (!line) return;

  const { pin_read: read, pin_write: write, pin_setup: setup, analog } = module;
  const drive = (number, level) => { if (watched.has(number)) ask({ line: number, level }); };
  module.pin_read = (number) => (watched.has(number) ? ask({ line: number }).level : read(number));
  module.pin_write = (number, level) => {
    drive(number, level);
    write(number, level);
  };
  module.pin_setup = (number, output, pull, level) => {
    if (output && level !== null) drive(number, level);
    setup(number, output, pull, level);
  };
  module.analog = (channel) => {
    const { share } = ask({ analog: channel });
    return share === null ? analog(channel) : Math.round(share * 65535);
  };
  module.rig = (text) => {
    const { value, pins } = ask(JSON.parse(text));
    watched = new Set(pins);
    return JSON.stringify(value);
  };
}
