// The board's console: one stream of bytes that is the REPL's, or the running program's sys.stdin and sys.stdout.
//
// Rules: while Python runs, bytes wait for sys.stdin and the interrupt character (Ctrl-C unless the program called
// micropython.kbd_intr) stops it; while nothing runs they go to the REPL. Raw paste is spoken here, because the VM's
// own answer to it would wait for bytes that cannot come.
// As on a chip `\n` leaves as `\r\n`; an app in the background sends frames, which leave as they are.
const CTRL_A = 0x01;
const CTRL_B = 0x02;
const CTRL_C = 0x03;
const CTRL_D = 0x04;
const CTRL_E = 0x05;
const LETTER_A = 0x41;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const FORCED_EXIT = 0x100; // PYEXEC_FORCED_EXIT, shared/runtime/pyexec.h
const OUTPUT_BUFFER = 1024;
const INPUT_MOST = 65536; // a program that never reads loses what comes beyond this
const OUTPUT_AGE_MS = 5;
const PASTE_WINDOW = 2048;
const RAW_GREETING = 'raw REPL; CTRL-B to exit';

export class Output {
  // `send(Uint8Array)` puts bytes on the wire. Python prints single characters: what follows one soon goes with it.
  constructor(send) {
    this.send = send;
    this.buffer = Buffer.alloc(OUTPUT_BUFFER);
    this.used = 0;
    this.flushed = 0;
    this.cooked = true;
    this.last = 0;
    this.skip = 0; // bytes to leave out
    this.capture = null; // a list: output goes there instead of the wire
  }

  write(data) {
    for (const byte of data) {
      if (this.skip > 0) {
        this.skip -= 1;
        continue;
      }
      if (this.cooked && byte === NEWLINE && this.last !== RETURN) this.put(RETURN);
      this.put(byte);
      this.last = byte;
    }
    if (performance.now() - this.flushed > OUTPUT_AGE_MS) this.flush();
  }

  text(text) {
    this.write(Buffer.from(text, 'latin1'));
  }

  put(byte) {
    if (this.used === 0) queueMicrotask(() => this.flush());
    this.buffer[this.used++] = byte;
    if (this.used === OUTPUT_BUFFER) this.flush();
  }

  flush() {
    if (this.used === 0) return;
    this.flushed = performance.now();
    const data = Uint8Array.from(this.buffer.subarray(0, this.used));
    this.used = 0;
    if (this.capture) this.capture.push(data);
    else this.send(data);
  }

  // What `call` prints, as text, and what it returns; nothing reaches the wire.
  captured(call) {
    this.flush();
    this.capture = [];
    try {
      const result = call();
      this.flush();
      return { result, text: Buffer.concat(this.capture).toString('latin1') };
    } finally {
      this.capture = null;
    }
  }
}

export class Repl {
  // `softReset()` restarts the board and does not return.
  constructor(mp, output, softReset) {
    this.mp = mp;
    this.output = output;
    this.softReset = softReset;
    this.raw = false;
    this.line = 0; // bytes of the raw REPL's current line
    this.held = []; // the start of a raw-paste request
    this.paste = null; // bytes of a raw paste
  }

  start(raw) {
    const { text } = this.output.captured(() => this.mp.replInit());
    if (raw) this.enterRaw();
    else this.output.text(text);
  }

  enterRaw() {
    this.output.captured(() => this.mp.replProcessChar(CTRL_A));
    this.raw = true;
    this.line = 0;
    this.output.text(`${RAW_GREETING}\r\n>`);
  }

  byte(byte) {
    if (this.paste) this.pasteByte(byte);
    else if (this.raw) this.rawByte(byte);
    else this.friendlyByte(byte);
  }

  friendlyByte(byte) {
    if (byte !== CTRL_A) {
      this.feed(byte);
      return;
    }
    const { text } = this.output.captured(() => this.mp.replProcessChar(byte));
    this.output.text(text);
    this.raw = text.includes(RAW_GREETING);
    this.line = 0;
  }

  rawByte(byte) {
    const request = [CTRL_E, LETTER_A, CTRL_A];
    if ((this.line === 0 || this.held.length) && byte === request[this.held.length]) {
      this.held.push(byte);
      if (this.held.length === request.length) this.startPaste();
      return;
    }
    const bytes = [...this.held, byte];
    this.held = [];
    for (const each of bytes) this.rawFeed(each);
  }

  rawFeed(byte) {
    this.line = [CTRL_A, CTRL_B, CTRL_C, CTRL_D].includes(byte) ? 0 : this.line + 1;
    if (byte === CTRL_B) this.raw = false;
    this.feed(byte);
  }

  feed(byte) {
    if (this.mp.replProcessChar(byte) & FORCED_EXIT) this.softReset();
  }

  startPaste() {
    this.held = [];
    this.paste = [];
    this.output.text(`R\x01${String.fromCharCode(PASTE_WINDOW & 0xff, PASTE_WINDOW >> 8)}\x01`);
  }

  pasteByte(byte) {
    if (byte !== CTRL_C && byte !== CTRL_D) {
      this.paste.push(byte);
      if (this.paste.length % PASTE_WINDOW === 0) this.output.text('\x01');
      return;
    }
    const code = byte === CTRL_D ? this.paste : [];
    this.paste = null;
    this.output.text('\x04');
    if (byte === CTRL_C || code.length === 0) {
      this.output.text('\x04\x04>');
      return;
    }
    for (const each of code) this.mp.replProcessChar(each);
    this.output.skip = 2; // a raw paste is answered without the 'OK' of the raw REPL
    this.feed(CTRL_D);
  }
}

// Bytes received and not yet read.
export class Input {
  constructor() {
    this.bytes = [];
    this.head = 0;
  }

  get length() {
    return this.bytes.length - this.head;
  }

  push(byte) {
    if (this.length < INPUT_MOST) this.bytes.push(byte);
  }

  take(maximum) {
    const taken = Uint8Array.from(this.bytes.slice(this.head, this.head + maximum));
    this.head += taken.length;
    if (this.head === this.bytes.length) {
      this.bytes = [];
      this.head = 0;
    }
    return taken;
  }
}
