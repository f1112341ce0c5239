// Between the VM's thread and the chip's thread (chip.mjs): messages both ways, and sleeping until one comes.
//
// Rules: the VM's thread may be deep inside Python for long; whatever waits there calls `wait`, which sleeps without
// burning the CPU and hands over the messages that came. Numbers both threads look at stand in shared memory.
import { receiveMessageOnPort } from 'node:worker_threads';

// Slots of the shared memory, 32 bits each.
export const WAKE = 0; // counts messages to the VM
export const CUT_AT = 1; // operation number at which the power ends, 0 for never
export const CUT_MODE = 2; // index in CUT_MODES
export const FED_AT = 3; // ms on the chip's clock when the watchdog was fed last
export const SLOTS = 4;

export const CUT_MODES = ['before', 'half', 'random', 'almost', 'after'];

// The clock of FED_AT.
export const milliseconds = () => Number(process.hrtime.bigint() / 1000000n) | 0;

export class Link {
  // `port`: a MessagePort to the chip, null for a script that has none. `shared`: Int32Array of SLOTS.
  constructor(port, shared) {
    this.port = port;
    this.shared = shared;
    this.receive = () => {};
    this.inside = false; // messages are being delivered while Python runs
    this.interrupted = false; // a Ctrl-C came since the last wait began
  }

  // Starts to deliver messages to `receive` when the VM is idle too.
  open(receive) {
    this.receive = receive;
    this.port?.on('message', (message) => this.receive(message));
  }

  post(message) {
    this.port?.postMessage(message);
  }

  // Delivers the messages that have come; for code that runs while Python does.
  drain() {
    if (!this.port || this.inside) return;
    this.inside = true;
    try {
      for (let got = receiveMessageOnPort(this.port); got; got = receiveMessageOnPort(this.port)) {
        this.receive(got.message);
      }
    } finally {
      this.inside = false;
    }
  }

  // Sleeps until a message comes, or `microseconds` have passed.
  wait(microseconds) {
    const seen = Atomics.load(this.shared, WAKE);
    this.drain();
    Atomics.wait(this.shared, WAKE, seen, Math.max(0, microseconds / 1000));
    this.drain();
  }

  // The mode of a power cut due at operation `count`, or null. One that was asked for too late comes at the next.
  takeCut(count) {
    const at = Atomics.load(this.shared, CUT_AT);
    if (!at || count < at) return null;
    return CUT_MODES[Atomics.load(this.shared, CUT_MODE)];
  }
}
