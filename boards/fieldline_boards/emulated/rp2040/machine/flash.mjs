// The flash chip: a Winbond W25Q16JV (2 MiB NOR, revision J datasheet) behind the RP2040's SSI.
// Rules: chip select frames a command, as the boot ROM's flash routines drive it; programming only clears bits;
// an operation counts when chip select rises with the write latch set; every change and the count are in their
// files before the next instruction, so a killed process leaves what a cut supply leaves.

import fs from 'node:fs';

const SECTOR = 4096;
const BLOCK = 65536;
const PAGE = 256;

// RP2040 datasheet 4.10.13, the registers that the flash routines touch.
const SSIENR = 0x08;
const TXFLR = 0x20;
const RXFLR = 0x24;
const SR = 0x28;
const IDR = 0x58;
const VERSION_ID = 0x5c;
const DR0 = 0x60;
const SR_TFNF = 0x02;
const SR_TFE = 0x04;
const SR_RFNE = 0x08;

// RP2040 datasheet 2.19.6.2: GPIO_QSPI_SS_CTRL.OUTOVER: 0 leaves chip select to the SSI, 2 is low, 3 is high.
const QSPI_SS_CTRL = 0x0c;
const OUTOVER_SHIFT = 8;
const BY_SSI = 0;
const LOW = 2;
const SS = 1; // its pin in the QSPI bank
const SS_PAD = 0x5a; // RP2040 datasheet 2.19.6.4, GPIO_QSPI_SS at reset: input and pull-up enabled

// W25Q16JV 8.1.2, the instruction set.
const WRITE_ENABLE = 0x06;
const WRITE_DISABLE = 0x04;
const READ_STATUS_1 = 0x05;
const READ_STATUS_2 = 0x35;
const READ_DATA = 0x03;
const PAGE_PROGRAM = 0x02;
const SECTOR_ERASE = 0x20;
const BLOCK_ERASE = 0xd8;
const READ_UNIQUE_ID = 0x4b;
const READ_JEDEC_ID = 0x9f;
const STATUS_1_WEL = 0x02;
const STATUS_2_QE = 0x02;
const JEDEC_ID = [0xef, 0x40, 0x15];
const ERASED = 0xff;

// W25Q16JV 9.6, typical: page program 0.4 ms, sector erase 45 ms, 64 KiB block erase 150 ms.
const BUSY_NS = { [PAGE_PROGRAM]: 400_000, [SECTOR_ERASE]: 45_000_000, [BLOCK_ERASE]: 150_000_000 };

function atomic(current, kind, value) {
  // RP2040 datasheet 2.1.2: plain, XOR, set and clear aliases of each register.
  return [value, current ^ value, current | value, current & ~value][kind] >>> 0;
}

/** NOR flash that outlives the machine in `file`; `counter` holds its operations so far, 8 bytes, big-endian. */
export class FlashChip {
  constructor({ file, counter, uniqueId, timed }) {
    this.fd = fs.openSync(file, 'r+');
    this.counter = fs.openSync(counter, 'r+');
    this.memory = new Uint8Array(fs.readFileSync(file));
    this.uniqueId = uniqueId;
    this.timed = timed;
    this.operations = Number(fs.readFileSync(counter).readBigUInt64BE());
    this.cutAt = 0; // the operation in which power fails, or the next where that is past; 0 is never
    this.onCut = null;
    this.mcu = null;
  }

  /** Be the flash of this chip: memory map, SSI and chip select. */
  attach(mcu) {
    this.mcu = mcu;
    mcu.flash = this.memory;
    mcu.flash16 = new Uint16Array(this.memory.buffer);
    mcu.flashView = new DataView(this.memory.buffer);
    this.select = BY_SSI;
    this.writeLatch = false;
    this.sent = [];
    this.answer = [];
    this.enabled = 0;
    mcu.peripherals[0x18000] = this.#ssi();
    mcu.peripherals[0x40018] = this.#chipSelect();
    // Firmware lets go of chip select to see whether BOOTSEL pulls it down: nobody presses that.
    mcu.qspi[SS].padValue = SS_PAD;
    mcu.qspi[SS].setInputValue(true);
  }

  #ssi() {
    const registers = {};
    const readUint32 = (offset) => {
      switch (offset) {
        case DR0:
          return this.answer.length ? this.answer.shift() : 0;
        case RXFLR:
          return this.answer.length;
        case TXFLR:
          return 0;
        case SR:
          return SR_TFE | SR_TFNF | (this.answer.length ? SR_RFNE : 0);
        case IDR:
          return 0x51535049;
        case VERSION_ID:
          return 0x3430312a;
        default:
          return registers[offset] ?? 0;
      }
    };
    const writeUint32 = (offset, value) => {
      registers[offset] = value;
      if (offset === SSIENR) {
        this.enabled = value;
        if (!value) this.answer = [];
      } else if (offset === DR0 && this.enabled) {
        // Under the SSI's own chip select a frame lasts until all its answers are read (the second boot stage).
        if (this.select === BY_SSI && !this.answer.length) this.sent = [];
        this.answer.push(this.select === BY_SSI || this.select === LOW ? this.#exchange(value & 0xff) : ERASED);
      }
    };
    return {
      readUint32,
      writeUint32,
      writeUint32Atomic: (offset, value, kind) =>
        writeUint32(offset, kind ? atomic(readUint32(offset), kind, value) : value),
    };
  }

  #chipSelect() {
    const control = new Uint32Array(16).fill(0x1f);
    return {
      readUint32: (offset) => (offset & 4 ? (control[offset >> 2] ?? 0) : 0),
      writeUint32Atomic: (offset, value, kind) => {
        control[offset >> 2] = atomic(control[offset >> 2] ?? 0, kind, value);
        if (offset === QSPI_SS_CTRL) this.#select((control[offset >> 2] >> OUTOVER_SHIFT) & 3);
      },
    };
  }

  #select(select) {
    if (select === LOW && this.select !== LOW) {
      this.sent = [];
      this.answer = [];
    } else if (select !== LOW && this.select === LOW) {
      this.#finish();
    }
    this.select = select;
  }

  #exchange(byte) {
    this.sent.push(byte);
    const position = this.sent.length - 1;
    const command = this.sent[0];
    if (position === 0) {
      if (command === WRITE_ENABLE) this.writeLatch = true;
      if (command === WRITE_DISABLE) this.writeLatch = false;
      return ERASED;
    }
    switch (command) {
      case READ_STATUS_1:
        return this.writeLatch ? STATUS_1_WEL : 0;
      case READ_STATUS_2:
        return STATUS_2_QE;
      case READ_JEDEC_ID:
        return JEDEC_ID[position - 1] ?? 0;
      case READ_UNIQUE_ID:
        return position >= 5 ? (this.uniqueId[position - 5] ?? 0) : ERASED;
      case READ_DATA:
        return position >= 4 ? (this.memory[this.#address() + position - 4] ?? ERASED) : ERASED;
      default:
        return ERASED;
    }
  }

  #address() {
    return ((this.sent[1] << 16) | (this.sent[2] << 8) | this.sent[3]) % this.memory.length;
  }

  #finish() {
    const command = this.sent[0];
    if (!(command in BUSY_NS) || !this.writeLatch || this.sent.length < 4) return;
    this.writeLatch = false;
    this.#count();
    if (this.cutAt && this.operations >= this.cutAt) {
      // Power fails in this operation. What it leaves half done is decided by the board, on the file.
      const size = command === BLOCK_ERASE ? BLOCK : SECTOR;
      this.onCut({
        address: command === PAGE_PROGRAM ? this.#address() : this.#address() & ~(size - 1),
        size: command === PAGE_PROGRAM ? this.sent.length - 4 : size,
        data: command === PAGE_PROGRAM ? Buffer.from(this.sent.slice(4)).toString('hex') : '',
      });
      return;
    }
    if (command === PAGE_PROGRAM) this.#program();
    else this.#erase(command === BLOCK_ERASE ? BLOCK : SECTOR);
    // The processor waits with interrupts off: time passes, edges and alarms pile up meanwhile.
    if (this.timed) this.mcu.clock.tick(BUSY_NS[command]);
  }

  #count() {
    this.operations += 1;
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(BigInt(this.operations));
    fs.writeSync(this.counter, count, 0, 8, 0);
  }

  #program() {
    const address = this.#address();
    const page = address & ~(PAGE - 1);
    for (let index = 4; index < this.sent.length; index += 1) {
      // W25Q16JV 8.2.13: past the end of the page the address wraps to its start.
      this.memory[page | ((address + index - 4) & (PAGE - 1))] &= this.sent[index];
    }
    fs.writeSync(this.fd, this.memory, page, PAGE, page);
  }

  #erase(size) {
    const address = this.#address() & ~(size - 1);
    this.memory.fill(ERASED, address, address + size);
    fs.writeSync(this.fd, this.memory, address, size, address);
  }
}
