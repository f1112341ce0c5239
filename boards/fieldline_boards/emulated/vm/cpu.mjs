// The VM's thread of a board: boots, runs boot.py and main.py, then is the REPL or the app in the background.
import fs from 'node:fs';
import path from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

import { boot } from './board.mjs';
import { Input, Output, Repl } from './console.mjs';
import { Link } from './link.mjs';

const CTRL_C = 3;
const NO_INTERRUPT = -1;
const STDIN_WAIT_US = 50000;
const SHORTEST_NAP_MS = 5; // edges closer than this are delivered together, each with its own time
const IMAGE = '.image'; // folder of what a native image has frozen into it: nativeboot.py
const LISTEN_EVERY_MS = 20; // a program that only prints is looked in on so often

const { setup, shared } = workerData;
const link = new Link(parentPort, shared);
const input = new Input();
const output = new Output((data) => link.post({ type: 'console', data }));
for (const byte of setup.input) input.push(byte);
const state = { scripts: true, app: false, listened: 0 };

const { vm, pins, change, module, heapUsed } = await boot({
  setup, link, output: write, read: readStdin, readable: stdinReadable, halt,
  flushed: () => output.flush(),
  app: { started: appStarted, ended: () => setImmediate(leaveApp) },
});
const repl = new Repl(vm.mp, output, softReset);

process.on('uncaughtException', (error) => {
  if (error.name !== 'PythonError') throw error;
  if (error.type === 'SystemExit') softReset();
  output.text(`${error.message}\n`);
  leaveApp();
});
pins.changed = schedulePulses;
link.open(receive);
link.post({ type: 'ready' });
link.drain(); // how the world is, before any program looks
if (runFile('boot.py') && !setup.raw) runFile('main.py', setup.hidden[IMAGE]);
state.scripts = false;
if (state.app) {
  output.flush();
  output.cooked = false;
} else enterRepl(setup.raw);

// Runs a file of the board as MicroPython does at start, one in its image first; false where it raised.
function runFile(name, image) {
  const inImage = image && fs.existsSync(path.join(image, name));
  if (!inImage && !fs.existsSync(path.join(setup.folder, name))) return true;
  module.kbd_intr(CTRL_C);
  try {
    vm.mp.runPython(`execfile('${inImage ? `/${IMAGE}/` : ''}${name}')`);
    return true;
  } catch (error) {
    if (error.name !== 'PythonError') throw error;
    if (error.type === 'SystemExit') softReset();
    output.text(`${error.message.replace('  File "<stdin>", line 1, in <module>\n', '')}\n`);
    return false;
  }
}

// ---- the app in the background

function appStarted() {
  if (state.scripts) state.app = true;
  return state.scripts;
}

function leaveApp() {
  if (!state.app) return;
  state.app = false;
  output.flush();
  output.cooked = true;
  module.drop_tasks();
  enterRepl(false);
}

function enterRepl(raw) {
  module.kbd_intr(NO_INTERRUPT); // the REPL reads Ctrl-C itself, and lets it interrupt what it runs
  repl.start(raw);
  feedRepl();
}

function feedRepl() {
  while (input.length && !state.app) repl.byte(input.take(1)[0]);
}

// ---- messages from the chip

function receive(message) {
  if (message.type === 'console') receiveConsole(message.data);
  else if (message.type === 'memory') setImmediate(() => reportMemory(message.id));
  else if (message.type === 'pin') link.post({ type: 'reply', id: message.id, value: pins.read(message.pin) });
  else change[message.type](message);
}

function receiveConsole(data) {
  for (const byte of data) {
    if ((link.inside || state.app) && byte === vm.module._mp_hal_get_interrupt_char()) interrupt();
    else input.push(byte);
  }
  if (!link.inside) feedRepl();
}

function interrupt() {
  if (link.inside) {
    link.interrupted = true;
    vm.module._mp_sched_keyboard_interrupt();
  } else {
    output.text('Traceback (most recent call last):\nKeyboardInterrupt: \n');
    leaveApp();
  }
}

function reportMemory(id) {
  link.post({ type: 'reply', id, value: heapUsed() });
}

// ---- the console as Python sees it

function write(data) {
  output.write(data);
  const now = performance.now();
  if (now - state.listened > LISTEN_EVERY_MS) {
    state.listened = now;
    link.drain();
  }
}

function stdinReadable() {
  link.drain();
  return input.length > 0;
}

function readStdin(maximum) {
  output.flush();
  link.interrupted = false;
  for (link.drain(); input.length === 0 && !link.interrupted; pins.pump()) link.wait(STDIN_WAIT_US);
  return input.take(maximum);
}

// ---- the end

function softReset() {
  output.text('MPY: soft reboot\n');
  halt('soft', {});
}

function halt(why, detail) {
  output.flush();
  const soft = why === 'soft';
  link.post({ type: 'halt', why, raw: soft && repl.raw, rest: soft ? [...input.take(input.length)] : [], ...detail });
  for (;;) Atomics.wait(shared, 0, Atomics.load(shared, 0), 1000);
}

// ---- pulse trains while no Python runs

function schedulePulses() {
  clearTimeout(state.pulses);
  const next = pins.untilNext();
  if (next === null) return;
  state.pulses = setTimeout(() => {
    pins.pump();
    schedulePulses();
  }, Math.max(SHORTEST_NAP_MS, next / 1000));
}
