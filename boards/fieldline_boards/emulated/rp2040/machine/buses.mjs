// The buses of the chip, wired to devices that live in the host's process.
// Rules: `ask(question)` stops emulated time until the device has answered; a bus without a device answers as an
// empty board does; a byte takes as long as it takes on the wire.

const UART_BITS = 10; // start, 8 data, stop
const I2C_BITS = 9; // 8 data, acknowledge
const TX_INTERRUPT = 1 << 5; // RP2040 datasheet 4.2.8, UARTMIS.TXMIS
const UART_DR = 0x00;
const TX_EMPTY = 1 << 4; // RP2040 datasheet 4.3.17, IC_RAW_INTR_STAT

export class Buses {
  /** `ask({...})` returns the host's answer; `used` names the buses with a device: "spi0", "i2c1", "uart0"... */
  constructor({ library, ask, used }) {
    this.library = library;
    this.ask = ask;
    this.used = new Set(used);
    this.incoming = [[], []];
    this.receiving = [false, false];
  }

  attach(mcu) {
    this.mcu = mcu;
    for (const bus of [0, 1]) {
      if (this.used.has(`spi${bus}`)) this.#spi(mcu, bus);
      if (this.used.has(`i2c${bus}`)) this.#i2c(mcu, bus);
      this.#uart(mcu, bus);
    }
  }

  /** Bytes on a UART's RX line, at its baud rate. */
  send(bus, bytes) {
    this.incoming[bus].push(...bytes);
    this.#receive(bus);
  }

  #after(nanos, action) {
    const alarm = this.mcu.clock.createAlarm(action);
    alarm.schedule(nanos);
  }

  #spi(mcu, bus) {
    const spi = mcu.spi[bus];
    spi.onTransmit = (value) => {
      const { value: answer } = this.ask({ spi: bus, value });
      this.#after((spi.dataBits * 1e9) / (spi.clockFrequency || 1e6), () => spi.completeTransmit(answer));
    };
  }

  #i2c(mcu, bus) {
    const i2c = mcu.i2c[bus];
    // An abort empties the transmit FIFO, and the chip says so; the emulator does not, and the SDK waits for it.
    const abort = i2c.abort.bind(i2c);
    i2c.abort = (reason) => {
      abort(reason);
      i2c.setInterrupts(TX_EMPTY);
    };
    // RP2040 datasheet 4.3.14.1: SCL counts are in cycles of clk_sys.
    const byteTime = () => (I2C_BITS * (i2c.sclLowPeriod + i2c.sclHighPeriod) * 1e9) / mcu.clkSys;
    i2c.onConnect = (address, mode) => {
      const { value } = this.ask({ i2c: bus, step: 'start', address, read: mode === this.library.I2CMode.Read });
      this.#after(byteTime(), () => i2c.completeConnect(value));
    };
    i2c.onWriteByte = (byte) => {
      const { value } = this.ask({ i2c: bus, step: 'write', value: byte });
      this.#after(byteTime(), () => i2c.completeWrite(value));
    };
    i2c.onReadByte = () => {
      const { value } = this.ask({ i2c: bus, step: 'read' });
      this.#after(byteTime(), () => i2c.completeRead(value));
    };
    i2c.onStop = () => {
      this.ask({ i2c: bus, step: 'stop' });
      i2c.completeStop();
    };
  }

  #uart(mcu, bus) {
    const uart = mcu.uart[bus];
    // The transmit interrupt is the edge of a FIFO that has drained; the emulator raises it again at each look,
    // which no interrupt handler survives.
    uart.checkInterrupts = () => mcu.setInterrupt(uart.irq, !!(uart.interruptStatus & uart.interruptMask));
    const write = uart.writeUint32.bind(uart);
    uart.writeUint32 = (offset, value) => {
      write(offset, value);
      if (offset !== UART_DR) return;
      this.#after(this.#byteTime(uart), () => {
        uart.interruptStatus |= TX_INTERRUPT;
        uart.checkInterrupts();
      });
    };
    if (this.used.has(`uart${bus}`)) uart.onByte = (value) => this.ask({ uart: bus, value });
    this.receiving[bus] = false;
    if (this.incoming[bus].length) this.#receive(bus);
  }

  #byteTime(uart) {
    return (UART_BITS * 1e9) / (uart.baudDivider ? uart.baudRate : 115200);
  }

  #receive(bus) {
    if (this.receiving[bus] || !this.mcu) return;
    const uart = this.mcu.uart[bus];
    this.receiving[bus] = true;
    const next = () => {
      const byte = this.incoming[bus].shift();
      if (!uart.rxFIFO.full) uart.feedByte(byte); // else the chip has an overrun: the byte is lost
      if (this.incoming[bus].length) this.#after(this.#byteTime(uart), next);
      else this.receiving[bus] = false;
    };
    this.#after(this.#byteTime(uart), next);
  }
}
