// What Python's hardware shims call: the module `_hw` inside the VM.
//
// Rules: arguments and results are small integers, strings, or an address and a length in the VM's memory
// (a proxied buffer would be copied byte by byte). Nothing here is for a person to import.
import crypto from 'node:crypto';

import { FED_AT, milliseconds } from './link.mjs';
import { memory } from './micropython.mjs';
import { Counter } from './pins.mjs';

const TICKS = 2 ** 30; // period of ticks_ms and ticks_us on every port
const LONGEST_SLEEP_US = 50000;
const SHORTEST_WAIT_US = 2000; // edges closer than this are delivered together, each with its own time
const LOOK_EVERY_US = 20000;
const ECB = 1; // mode numbers of MicroPython's cryptolib
const FULL_SCALE = 65535;

// The module, and `change`: what the world may do to the board, by message type. `setup` is setup.py's;
// `halt(why, detail)` ends the VM and does not return; `flushed()` writes out what was printed.
export function hardware({ vm, clock, pins, flash, link, setup, halt, flushed }) {
  const counters = new Map();
  const world = { temperature: setup.temperature, analog: new Map() };
  let looked = 0;

  // A program that waits by looking at the clock sees pulses and Ctrl-C too.
  const look = () => {
    const now = clock.now();
    if (now - looked < LOOK_EVERY_US || clock.edge !== null) return;
    looked = now;
    flushed();
    link.drain();
    pins.pump();
  };

  const module = {
    chip: setup.chip,
    model: setup.model,
    counters: setup.counters,
    pin_exists: (number) => setup.gpio.includes(number),
    pin_is_input_only: (number) => setup.input_only.includes(number),
    uid: setup.uid,
    cause: setup.cause,
    heap: setup.heap,
    base: 0, // bytes of the heap that are not the board's: the shims

    random(address, length) {
      crypto.randomFillSync(memory(vm, address, length));
    },

    ticks_us() {
      look();
      return Math.floor(clock.ticks()) % TICKS;
    },
    ticks_ms() {
      look();
      return Math.floor(clock.ticks() / 1000) % TICKS;
    },
    sleep_us(duration) {
      flushed();
      link.interrupted = false;
      const end = clock.now() + duration;
      for (;;) {
        pins.pump();
        const left = end - clock.now();
        if (left <= 0 || link.interrupted) return;
        link.wait(Math.min(left, LONGEST_SLEEP_US, Math.max(SHORTEST_WAIT_US, pins.untilNext() ?? left)));
      }
    },

    pin_setup: (number, output, pull, level) => pins.configure(number, output, pull, level),
    pin_read: (number) => pins.read(number),
    pin_write: (number, level) => pins.write(number, level),
    pin_listen: (number, trigger, handler) => pins.listen(number, trigger, handler),
    interrupts(enabled) {
      const before = pins.enabled;
      pins.enabled = enabled;
      pins.pump();
      pins.changed();
      return before;
    },

    counter_open(id, number, kinds, step) {
      counters.get(id)?.close();
      counters.set(id, new Counter(pins, number, kinds, step));
    },
    counter_value: (id) => counters.get(id).value(),
    counter_set: (id, count) => counters.get(id).set(count),
    counter_close(id) {
      counters.get(id)?.close();
      counters.delete(id);
    },

    analog: (channel) => world.analog.get(channel) ?? 0,
    temperature: () => world.temperature,

    flash_begins: () => Math.min(0x7ffff000, ...flash.regions.map((region) => region.start)),
    flash_locate: (start, length) => flash.locate(start, length),
    partitions: JSON.stringify(setup.partitions),
    running: setup.running,
    flash_read: (at, address, length) => flash.read(at, memory(vm, address, length)),
    flash_program: (at, address, length) => flash.program(at, memory(vm, address, length).slice()),
    flash_erase: (at) => flash.erase(at),

    aes(mode, encrypt, key, keyLength, iv, address, length) {
      const name = `aes-${keyLength * 8}-${mode === ECB ? 'ecb' : 'cbc'}`;
      const vector = mode === ECB ? null : memory(vm, iv, 16);
      const make = encrypt ? crypto.createCipheriv : crypto.createDecipheriv;
      const cipher = make(name, memory(vm, key, keyLength), vector);
      cipher.setAutoPadding(false);
      const data = memory(vm, address, length);
      data.set(Buffer.concat([cipher.update(data), cipher.final()]));
    },

    wdt_start: (timeout) => {
      module.wdt_feed();
      link.post({ type: 'watchdog', timeout });
    },
    wdt_feed: () => Atomics.store(link.shared, FED_AT, milliseconds()),

    halt: (why) => halt(why, {}),
    deep_sleep: (duration) => halt('deepsleep', { duration }),
  };

  // What the world may change while the board runs.
  const change = {
    drive: ({ pin, level }) => pins.drive(pin, level),
    pulse: ({ pin, hz }) => pins.pulse(pin, hz),
    temperature: ({ celsius }) => { world.temperature = celsius; },
    analog: ({ channel, share }) => { world.analog.set(channel, Math.round(share * FULL_SCALE)); },
  };
  return { module, change };
}
