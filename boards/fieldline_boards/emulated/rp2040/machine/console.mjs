// The host's end of the USB cable: enumerates the board and carries its CDC console.
// Rules: with nothing to send, the host answers OUT with NAK (an empty packet would keep the firmware from ever
// sleeping); with the port closed, DTR is off and IN is answered with NAK too, as Linux does.

const PACKET = 64; // USB 2.0 5.8.3: bulk packet at full speed
const SET_CONTROL_LINE_STATE = 0x22; // USB CDC PSTN 1.2, 6.3.12
const DTR_AND_RTS = 3;

// RP2040 datasheet 4.1.4: the start-of-frame interrupt, which the emulator leaves out. By it MicroPython times its
// first output after the port was opened, and TinyUSB keeps bulk transfers away from erratum RP2040-E15.
const SOF_RD = 0x48;
const INTE = 0x90;
const DEV_SOF = 1 << 17;
const FRAME_NS = 1_000_000;

export class UsbConsole {
  /** `library` is rp2040js; `onData(Buffer)` gets what the board prints, `onReady()` each enumeration. */
  constructor({ library, onData, onReady }) {
    this.library = library;
    this.onData = onData;
    this.onReady = onReady;
    this.isOpen = false;
  }

  /** Plug the cable into this chip; what was on its way to the last one is lost. */
  attach(mcu) {
    this.usb = mcu.usbCtrl;
    this.cdc = new this.library.USBCDC(this.usb);
    this.queue = [];
    this.armed = null;
    this.held = null;
    this.ready = false;
    this.cdc.cdcSetControlLineState = () => {
      this.cdc.initialized = true;
      this.ready = true;
      this.#sendLineState();
      this.onReady();
    };
    this.cdc.onSerialData = (bytes) => {
      if (this.held) this.held.data = Buffer.from(bytes);
      else this.onData(Buffer.from(bytes));
    };
    this.#startFrames(mcu.clock);
    this.usb.onEndpointRead = (endpoint, size) => {
      if (endpoint !== this.cdc.outEndpoint) return;
      this.armed = size;
      this.#deliver();
    };
    const indicate = this.usb.indicateBufferReady.bind(this.usb);
    this.usb.indicateBufferReady = (endpoint, out) => {
      if (!out && this.ready && !this.isOpen && endpoint === this.cdc.inEndpoint) {
        this.held = { data: null, take: () => indicate(endpoint, out) };
      } else {
        indicate(endpoint, out);
      }
    };
  }

  /** Open or close the port. */
  setOpen(isOpen) {
    if (isOpen === this.isOpen) return;
    this.isOpen = isOpen;
    if (!this.ready) return;
    this.#sendLineState();
    if (isOpen && this.held) {
      const { data, take } = this.held;
      this.held = null;
      if (data) this.onData(data);
      take();
    }
  }

  /** Bytes from the host to the board. */
  write(bytes) {
    this.queue.push(...bytes);
    this.#deliver();
  }

  /** A start of frame each millisecond, as long as the firmware listens to it. */
  #startFrames(clock) {
    const { usb } = this;
    let running = false;
    const alarm = clock.createAlarm(() => {
      running = !!(usb.intEnable & DEV_SOF);
      if (!running) return;
      usb.sofFrameNumber = (usb.sofFrameNumber + 1) & 0x7ff;
      usb.intRaw |= DEV_SOF;
      usb.checkInterrupts();
      alarm.schedule(FRAME_NS);
    });
    const write = usb.writeUint32.bind(usb);
    usb.writeUint32 = (offset, value) => {
      write(offset, value);
      if (offset !== INTE || running || !(usb.intEnable & DEV_SOF)) return;
      running = true;
      alarm.schedule(FRAME_NS);
    };
    const read = usb.readUint32.bind(usb);
    usb.readUint32 = (offset) => {
      if (offset === SOF_RD && usb.intRaw & DEV_SOF) {
        usb.intRaw &= ~DEV_SOF; // RP2040 datasheet 4.1.4, INTR.DEV_SOF: cleared by reading SOF_RD
        usb.checkInterrupts();
      }
      return read(offset);
    };
  }

  #deliver() {
    if (this.armed === null || !this.queue.length) return;
    const size = Math.min(this.armed, PACKET);
    this.armed = null;
    this.usb.endpointReadDone(this.cdc.outEndpoint, Uint8Array.from(this.queue.splice(0, size)));
  }

  #sendLineState() {
    const { createSetupPacket, DataDirection, SetupRecipient, SetupType } = this.library;
    this.usb.sendSetupPacket(
      createSetupPacket({
        dataDirection: DataDirection.HostToDevice,
        type: SetupType.Class,
        recipient: SetupRecipient.Interface,
        bRequest: SET_CONTROL_LINE_STATE,
        wValue: this.isOpen ? DTR_AND_RTS : 0,
        wIndex: 0,
        wLength: 0,
      }),
    );
  }
}
