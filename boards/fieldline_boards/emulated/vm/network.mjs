// The board's network: TCP connections that the host's process makes for it (netline.py).
//
// Rules: a question and its answer are JSON texts, and a question stands the VM still for a moment at most. A board
// without a network reaches nobody.
import { Line } from './buses.mjs';

const UNREACHABLE = JSON.stringify({ errno: 113 }); // EHOSTUNREACH

// Adds `net` to `module` (the VM's `_hw`). `net`: {ask, answer} of netline.py, or nothing.
export function attachNetwork({ module, net }) {
  const line = net ? new Line(net) : null;
  module.net = (text) => (line ? JSON.stringify(line.ask(JSON.parse(text))) : UNREACHABLE);
}
