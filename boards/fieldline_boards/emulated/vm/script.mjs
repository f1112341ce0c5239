// Runs one MicroPython script in a fresh VM: node script.mjs, with {script, modules, heap, ...} as JSON on stdin.
// The script's output goes to stdout; where it raises, the traceback goes to stderr and the exit code is 1.
import fs from 'node:fs';

import { boot } from './board.mjs';
import { Output } from './console.mjs';
import { Link, SLOTS } from './link.mjs';

const setup = JSON.parse(fs.readFileSync(0, 'utf8'));
const link = new Link(null, new Int32Array(new SharedArrayBuffer(4 * SLOTS)));
const output = new Output((data) => fs.writeSync(1, data));
output.cooked = false;
const flushed = () => output.flush();
const halt = () => { // machine.reset() ends a script
  flushed();
  process.exit(0);
};

try {
  const { vm } = await boot({
    setup, link, halt, flushed,
    output: (data) => output.write(data),
    read: () => new Uint8Array(0),
    readable: () => true,
  });
  vm.mp.runPython(setup.script);
  flushed();
} catch (error) {
  flushed();
  if (error.type !== 'SystemExit') {
    fs.writeSync(2, `${error.message}\n`);
    process.exitCode = 1;
  }
}
