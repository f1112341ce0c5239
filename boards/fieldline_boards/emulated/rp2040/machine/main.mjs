// One emulated board as a process. Commands come as JSON lines on standard input, reports go as JSON lines on
// standard output; questions to devices go over a socket and are answered before emulated time goes on.
// Rules: the first command is "power_on"; the end of standard input is the end of the board.

import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

import { Machine } from './machine.mjs';

const tell = (message) => fs.writeSync(1, `${JSON.stringify(message)}\n`);

let machine = null;
let devices = -1; // file descriptor of the socket
let left = Buffer.alloc(0);

function ask(question) {
  fs.writeSync(devices, `${JSON.stringify({ ...question, us: machine.micros })}\n`);
  const piece = Buffer.alloc(65536);
  let end = left.indexOf(10);
  while (end < 0) {
    const count = fs.readSync(devices, piece);
    if (!count) process.exit(0);
    left = Buffer.concat([left, piece.subarray(0, count)]);
    end = left.indexOf(10);
  }
  const answer = JSON.parse(left.subarray(0, end).toString());
  left = left.subarray(end + 1);
  for (const command of answer.do ?? []) obey(command);
  return answer;
}

const commands = {
  console: ({ text }) => machine.console.write(Buffer.from(text, 'latin1')),
  open: ({ open }) => machine.console.setOpen(open),
  drive: ({ pin, level }) => machine.world.drive(pin, level),
  pulses: ({ pin, ...train }) => machine.world.pulses(pin, train),
  listen: ({ pins }) => (machine.world.listened = new Set(pins)),
  adc: ({ channel, value }) => machine.world.setAdc(channel, value),
  uart: ({ bus, text }) => machine.buses.send(bus, Buffer.from(text, 'latin1')),
  timer: ({ timer, us }) => machine.world.after(us * 1000, () => ask({ timer })),
  cut: ({ at }) => (machine.flash.cutAt = at),
  reset: () => machine.reset(),
  status: ({ id }) =>
    tell({
      say: 'answer',
      id,
      us: machine.micros,
      steps: machine.steps,
      levels: machine.world.levels,
    }),
};

function obey(command) {
  const action = commands[command.do];
  if (!action) throw new Error(`unknown command ${command.do}`);
  action(command);
}

async function powerOn({ modules, devices: socket, bootrom, unique_id: uniqueId, ...options }) {
  devices = socket;
  const library = await import(pathToFileURL(path.join(modules, 'rp2040js', 'dist', 'esm', 'index.js')));
  machine = new Machine({
    ...options,
    library,
    bootrom: new Uint32Array(Uint8Array.from(Buffer.from(bootrom, 'base64')).buffer),
    uniqueId: Buffer.from(uniqueId, 'hex'),
    tell,
    ask,
  });
  machine.boot();
}

function run() {
  const wait = machine.slice();
  if (wait === null) process.exit(0);
  if (wait) setTimeout(run, wait);
  else setImmediate(run);
}

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
await powerOn(JSON.parse((await lines.next()).value));
run();
for await (const line of lines) obey(JSON.parse(line));
process.exit(0);
