// The ring oscillator, as far as firmware looks at it: stable, and a source of random bits (RP2040 datasheet 2.17).
// Rules: the bits follow from a seed, so that a run can be repeated; they go on over resets.

const STATUS = 0x18;
const RANDOMBIT = 0x1c;
const STABLE_AND_ENABLED = 0x80001000;

export class RingOscillator {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  attach(mcu) {
    mcu.peripherals[0x40060] = this;
  }

  readUint32(offset) {
    if (offset === RANDOMBIT) return this.#bit();
    return offset === STATUS ? STABLE_AND_ENABLED : 0;
  }

  writeUint32Atomic() {}

  /** mulberry32, its highest bit. */
  #bit() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 31;
  }
}
