// A board's process: node chip.mjs, the setup as JSON in argument 2. Console bytes and control lines (JSON) come and go
// on two sockets.
//
// Rules: this thread never runs Python, so it answers while a program hangs: it holds the watchdog, and it ends the
// process when the VM says so, when the watchdog was not fed, or when whoever started it is gone.
import net from 'node:net';
import { Worker } from 'node:worker_threads';

import { CUT_AT, CUT_MODE, CUT_MODES, FED_AT, SLOTS, WAKE, milliseconds } from './link.mjs';

const WATCHDOG_CHECK_MS = 50;
const YOUNG_GENERATION_MB = 2; // collect JS garbage often: it holds Python objects

const setup = JSON.parse(process.argv[2]);
const shared = new Int32Array(new SharedArrayBuffer(4 * SLOTS));
const consoleSocket = new net.Socket({ fd: setup.console_fd, readable: true, writable: true });
const control = new net.Socket({ fd: setup.control_fd, readable: true, writable: true });
for (const socket of [consoleSocket, control]) {
  socket.on('error', () => process.kill(process.pid, 'SIGKILL'));
  socket.on('end', () => process.kill(process.pid, 'SIGKILL'));
}
const watchdog = { timeout: 0, timer: null };
arm(setup.cut);
if (setup.watchdog) {
  Atomics.store(shared, FED_AT, milliseconds());
  startWatchdog(setup.watchdog);
}

const worker = new Worker(new URL('cpu.mjs', import.meta.url), {
  workerData: { setup, shared },
  resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
});
worker.on('message', (message) => {
  if (message.type === 'console') consoleSocket.write(message.data);
  else if (message.type === 'watchdog') startWatchdog(message.timeout);
  else if (message.type === 'halt') end(message);
  else tell(message);
});
worker.on('error', (error) => end({ type: 'halt', why: 'crash', text: String(error.stack ?? error) }));

consoleSocket.on('data', (data) => toVm({ type: 'console', data }));

let partial = '';
control.on('data', (data) => {
  const lines = (partial + data).split('\n');
  partial = lines.pop();
  for (const message of lines.map((line) => JSON.parse(line))) {
    if (message.type === 'cut') arm(message);
    else toVm(message);
  }
});

function toVm(message) {
  worker.postMessage(message);
  Atomics.add(shared, WAKE, 1);
  Atomics.notify(shared, WAKE);
}

function tell(message) {
  control.write(`${JSON.stringify(message)}\n`);
}

function arm(cut) {
  Atomics.store(shared, CUT_MODE, CUT_MODES.indexOf(cut.mode));
  Atomics.store(shared, CUT_AT, cut.at);
}

function startWatchdog(timeout) {
  clearInterval(watchdog.timer);
  watchdog.timeout = timeout;
  watchdog.timer = setInterval(() => {
    if (((milliseconds() - Atomics.load(shared, FED_AT)) | 0) > timeout) end({ type: 'halt', why: 'watchdog' });
  }, WATCHDOG_CHECK_MS);
}

let ending = false;
function end(message) {
  if (ending) return;
  ending = true;
  consoleSocket.pause(); // what is not read yet is for the next process
  consoleSocket.write('', () => {
    const last = { ...message, watchdog: watchdog.timeout };
    control.write(`${JSON.stringify(last)}\n`, () => process.kill(process.pid, 'SIGKILL'));
  });
}
