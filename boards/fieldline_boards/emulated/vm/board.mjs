// Puts a board together out of VM, files, flash, clock, pins and link. Used by cpu.mjs (a board) and script.mjs.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { attachRadio } from './ble.mjs';
import { attachBuses } from './buses.mjs';
import { Clock } from './clock.mjs';
import { hostFiles } from './files.mjs';
import { Flash, Operations } from './flash.mjs';
import { hardware } from './hardware.mjs';
import { attachConsole, load, mountRoot } from './micropython.mjs';
import { attachNetwork } from './network.mjs';
import { Pins } from './pins.mjs';

const FOREGROUND = { started: () => false, ended: () => {} };
const HERE = path.dirname(fileURLToPath(import.meta.url));

// `setup` is made by setup.py. `output(Uint8Array)`, `read(maximum)` and `readable()` are the console; `halt` and
// `flushed` see hardware.mjs; `app` {started(), ended()} is told of asyncio.run, and says whether that is to
// return at once.
export async function boot({ setup, link, output, read, readable, halt, flushed, app = FOREGROUND }) {
  const vm = await load(setup.modules, setup.heap);
  const clock = new Clock();
  const report = (event) => {
    if (event.type === 'handler') {
      output(Buffer.from(`Uncaught exception in IRQ callback handler\r\n${event.text}\r\n`));
    } else link.post(event);
  };
  const pins = new Pins(clock, report);
  const operations = new Operations(setup.operations, (count) => link.takeCut(count));
  const flash = new Flash(setup.flash, setup.regions, operations);
  const { module, change } = hardware({ vm, clock, pins, flash, link, setup, halt, flushed });
  attachBuses({ vm, module, rig: setup.rig });
  attachNetwork({ module, net: setup.net });
  attachRadio({ vm, module, change, link, report, radio: setup.radio });
  module.app_started = app.started;
  module.app_ended = app.ended;
  attachConsole(vm.FS, { write: output, read, readable });
  const hidden = { ...setup.hidden };
  for (const name of ['common', setup.chip]) hidden[`.${name}`] = path.join(HERE, 'shims', name);
  mountRoot(vm, hostFiles(vm.FS), {
    folder: setup.folder, scratch: setup.scratch, hidden, operation: (apply) => operations.whole(apply),
  });
  const heapUsed = () => {
    module.collect(); // asks for a collection, which happens when this call has returned
    return module.heap_all() - module.base;
  };
  vm.mp.registerJsModule('_hw', module);
  vm.mp.runPython(fs.readFileSync(path.join(HERE, 'shims', 'prelude.py'), 'utf8'));
  module.base = heapUsed();
  return { vm, pins, heapUsed, change, module };
}
