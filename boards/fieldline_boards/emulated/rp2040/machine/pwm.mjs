// Lets the PWM slices count edges of their B pin (RP2040 datasheet 4.5.2.2), which rp2040js 1.4.1 does not.
// Rules: a slice that counts edges counts here; in the other modes it is the emulator's. A slice that nobody has
// enabled stands still (the emulator's run from the start, and wrap).

const CSR = 0x00;
const CTR = 0x08;
const ENABLED = 1;
const RISING = 2;
const FALLING = 3;
const FUNCTION_PWM = 4;

/** Make this chip's PWM slices count. */
export function attachPwm(mcu) {
  const { pwm } = mcu;
  const counters = pwm.channels.map((channel) => new EdgeCounter(mcu, pwm, channel));
  pwm.gpioOnInput = (pin) => counters[(pin >> 1) & 7].look();
}

class EdgeCounter {
  constructor(mcu, pwm, channel) {
    this.mcu = mcu;
    this.pwm = pwm;
    this.channel = channel;
    this.count = 0;
    this.ticks = 0;
    this.level = false;
    channel.timer.enable = false;
    const read = channel.readRegister.bind(channel);
    const write = channel.writeRegister.bind(channel);
    channel.readRegister = (offset) => (offset === CTR && this.counts ? this.count : read(offset));
    channel.writeRegister = (offset, value) => {
      if (offset === CTR) this.count = value & 0xffff;
      write(offset, value);
      channel.updateEnable(); // the emulator's divider, once written, sets it running
      if (offset === CSR) this.level = this.#input();
    };
  }

  get counts() {
    return this.channel.divMode === RISING || this.channel.divMode === FALLING;
  }

  /** An input may have changed. */
  look() {
    const level = this.#input();
    if (level === this.level) return;
    this.level = level;
    const { csr, divMode, timer } = this.channel;
    if (!(csr & ENABLED)) return;
    if (!this.counts) this.channel.gpioBChanged();
    else if (level === (divMode === RISING)) {
      this.ticks += 1;
      if (this.ticks < timer.prescaler) return;
      this.ticks -= timer.prescaler;
      this.#step();
    }
  }

  #step() {
    const { index, top } = this.channel;
    this.count = this.count === top ? 0 : (this.count + 1) & 0xffff;
    if (!this.count) this.pwm.channelInterrupt(index);
  }

  /** The B input: of two pins that are the slice's, either one (RP2040 datasheet 4.5.2). */
  #input() {
    const { pinB1, pinB2 } = this.channel;
    const pins = [pinB1, pinB2].filter((pin) => pin > 0).map((pin) => this.mcu.gpio[pin]);
    return pins.some((pin) => pin.functionSelect === FUNCTION_PWM && pin.inputValue);
  }
}
