// Raw flash: NOR memory in a file of the host, the count of flash operations, and the power cut at one of them.
//
// Rules: programming only clears bits, a page of 256 bytes at a time; erasing sets a sector of 4096 bytes to 0xFF;
// each page and each sector is one operation, durable when it returns. The count is kept in a file of its own,
// so it is right after a cut too.
import fs from 'node:fs';

const SECTOR = 4096;
const PAGE = 256;
const ALMOST_LEFT = 3; // bytes that an 'almost' finished operation did not reach

// The counter of flash operations. `takeCut(count)` says in what mode the power ends at this operation, or null.
export class Operations {
  constructor(file, takeCut) {
    this.fd = fs.openSync(file, fs.existsSync(file) ? 'r+' : 'w+');
    this.takeCut = takeCut;
    const stored = Buffer.alloc(8);
    this.count = fs.readSync(this.fd, stored, 0, 8, 0) === 8 ? Number(stored.readBigUInt64BE()) : 0;
  }

  // Runs one operation that is all or nothing: torn modes leave it undone.
  whole(apply) {
    this.run(apply, () => {});
  }

  // Runs one operation; `tear(mode)` leaves what a cut in its middle would.
  run(apply, tear) {
    this.count += 1;
    const stored = Buffer.alloc(8);
    stored.writeBigUInt64BE(BigInt(this.count));
    fs.writeSync(this.fd, stored, 0, 8, 0);
    const mode = this.takeCut(this.count);
    if (mode === null) {
      apply();
      return;
    }
    if (mode === 'after') apply();
    else if (mode !== 'before') tear(mode);
    process.kill(process.pid, 'SIGKILL');
  }
}

export class Flash {
  // `regions`: [{start, length}], start in the flash's own addresses; they follow each other in `file`.
  constructor(file, regions, operations) {
    this.operations = operations;
    this.regions = [];
    let base = 0;
    for (const { start, length } of regions) {
      this.regions.push({ start, length, base });
      base += length;
    }
    this.fd = fs.openSync(file, fs.existsSync(file) ? 'r+' : 'w+');
    this.image = Buffer.alloc(base, 0xff);
    const stored = fs.readSync(this.fd, this.image, 0, base, 0);
    if (stored < base) fs.writeSync(this.fd, this.image, stored, base - stored, stored);
  }

  // Where `length` bytes from flash address `start` are in the image, or -1 where that is not raw flash.
  locate(start, length) {
    const inside = ({ start: from, length: size }) => start >= from && start + length <= from + size;
    const region = this.regions.find(inside);
    return region ? region.base + start - region.start : -1;
  }

  read(at, into) {
    into.set(this.image.subarray(at, at + into.length));
  }

  program(at, data) {
    for (let done = 0; done < data.length;) {
      const size = Math.min(PAGE - ((at + done) % PAGE), data.length - done);
      this.programPage(at + done, data.subarray(done, done + size));
      done += size;
    }
  }

  erase(at) {
    const old = Uint8Array.prototype.slice.call(this.image, at, at + SECTOR);
    const blank = new Uint8Array(SECTOR).fill(0xff);
    this.change(at, old, blank);
  }

  programPage(at, data) {
    const old = Uint8Array.prototype.slice.call(this.image, at, at + data.length);
    this.change(at, old, data.map((byte, i) => byte & old[i]));
  }

  change(at, old, wanted) {
    this.operations.run(
      () => this.store(at, wanted),
      (mode) => this.store(at, torn(mode, old, wanted, this.operations.count)),
    );
  }

  store(at, bytes) {
    this.image.set(bytes, at);
    fs.writeSync(this.fd, bytes, 0, bytes.length, at);
  }
}

// What stands in flash when the change from `old` to `wanted` was cut: 'half' and 'almost' by position,
// 'random' each changing bit for itself, repeatable for the same operation number.
function torn(mode, old, wanted, seed) {
  const reached = { half: wanted.length >> 1, almost: wanted.length - ALMOST_LEFT }[mode];
  if (reached !== undefined) return wanted.map((byte, i) => (i < reached ? byte : old[i]));
  const random = generator(seed);
  return wanted.map((byte, i) => old[i] ^ ((byte ^ old[i]) & (random() * 256)));
}

// mulberry32: 32 bits of state, a number in 0..1.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
