// What the gateway told: nodes, its own parts, and whether it still tells. Changed by events only; views read it.
//
// Events (web/events.py, live.py): `rows` say what a node is, `moves` what came with its last report.

import { Asked } from "./asked.js";

const QUIET_MS = 15_000; // the gateway sends something each 5 s
const BACK_MS = [500, 1000, 2000, 5000, 10_000];

export class Live {
  // `operations`: what the gateway lets this person ask; what it does not have is not shown.
  constructor(operations) {
    this.operations = new Set(operations);
    this.nodes = [];
    this.byId = new Map();
    this.parts = {};
    this.line = "connecting"; // open, connecting, lost, out
    this.lostAt = 0;
    this.offset = 0; // the gateway's clock less this one's, ms
    this.listeners = new Set();
    this.tries = 0;
    this.heardAt = 0;
    this.rate = null; // messages that are stored a second, over some seconds
    this.rates = [];
    this.marks = [];
    const told = () => this.tell([]);
    this.asked = {
      alerts: new Asked("alert.list", { open: true, limit: 500 }, 4000, told),
      quarantine: new Asked("quarantine.list", {}, 5000, told),
      clones: new Asked("clone.list", {}, 5000, told),
    };
  }

  can(operation) {
    return this.operations.has(operation);
  }

  get alerts() {
    return this.asked.alerts.data?.alerts ?? [];
  }

  get quarantine() {
    return this.asked.quarantine.data?.entries ?? [];
  }

  get clones() {
    return this.asked.clones.data?.clones ?? [];
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  now() {
    return Date.now() + this.offset;
  }

  start() {
    for (const each of Object.values(this.asked)) if (!each.running && this.can(each.operation)) each.start();
    this.source = new EventSource("/api/events");
    this.source.addEventListener("live", (event) => {
      const began = performance.now();
      this.apply(JSON.parse(event.data));
      requestAnimationFrame(() => { // drawn; `scripts/bench page` observes it, nothing is kept
        performance.measure("update", { start: began });
        performance.clearMeasures("update");
      });
    });
    this.source.addEventListener("beat", (event) => this.beat(JSON.parse(event.data).now_ms));
    this.source.addEventListener("out", () => this.end("out"));
    this.source.onerror = () => this.again();
    this.watch ??= setInterval(() => {
      if (this.line === "open" && Date.now() - this.heardAt > QUIET_MS) this.again();
    }, 1000);
  }

  stop() {
    for (const each of Object.values(this.asked)) each.stop();
    this.source?.close();
    clearTimeout(this.timer);
    clearInterval(this.watch);
    this.watch = undefined;
  }

  end(line) {
    this.stop();
    this.line = line;
    this.tell([]);
  }

  again() {
    this.source.close();
    clearTimeout(this.timer);
    if (this.line !== "lost") {
      this.line = "lost";
      this.lostAt = Date.now();
      this.tell([]);
    }
    this.timer = setTimeout(async () => {
      try {
        const answer = await fetch("/me");
        if (answer.status === 401) return this.end("out");
      } catch { /* still away */ }
      this.start();
    }, BACK_MS[Math.min(this.tries++, BACK_MS.length - 1)]);
  }

  beat(nowMs) {
    this.heardAt = Date.now();
    this.offset = nowMs - this.heardAt;
    this.tries = 0;
    if (this.line !== "open") {
      this.line = "open";
      this.tell([]);
    }
  }

  apply(told) {
    if (told.whole) {
      this.nodes = [];
      this.byId = new Map();
      this.parts = {};
    }
    Object.assign(this.parts, told.parts);
    this.measure(told.now_ms);
    const moved = [];
    for (const [at, row, [heard, values, counts]] of told.rows) {
      const node = Object.assign(this.nodes[at] ?? {}, { row, id: row.node, heard, values, counts, seen: Date.now() });
      this.nodes[at] = node;
      this.byId.set(row.node, node);
      moved.push(node);
    }
    for (const [at, heard, values, counts] of told.moves) {
      const node = this.nodes[at];
      if (heard !== node.heard) node.seen = Date.now();
      Object.assign(node, { heard, values, counts });
      moved.push(node);
    }
    this.beat(told.now_ms);
    this.tell(moved);
  }

  // How fast the store grows, from its own numbers.
  measure(nowMs) {
    const classes = Object.values(this.parts.store?.classes ?? {});
    const mark = [nowMs, classes.reduce((sum, each) => sum + each.newest, 0)];
    if (this.marks.length && (mark[1] < this.marks[0][1] || nowMs < this.marks.at(-1)[0])) this.marks = [];
    this.marks.push(mark);
    while (this.marks.length > 2 && nowMs - this.marks[0][0] > 10_000) this.marks.shift();
    const [[firstMs, first]] = this.marks;
    if (nowMs - firstMs < 900) return;
    this.rate = ((mark[1] - first) * 1000) / (nowMs - firstMs);
    if (this.rate > 10) this.rate = Math.round(this.rate);
    this.rates.push(this.rate);
    if (this.rates.length > 120) this.rates.shift();
  }

  tell(moved) {
    for (const listener of this.listeners) listener(moved);
  }

  // --- what the parts mean

  state(node) {
    if (node.row.revoked) return "revoked";
    if (!node.heard) return "never";
    return this.now() - node.heard > this.silentMs(node) ? "silent" : "heard";
  }

  silentMs(node) {
    return node.row.silent_ms ?? this.parts.gateway?.silent_ms ?? 750_000;
  }

  counts() {
    const found = { heard: 0, silent: 0, never: 0, revoked: 0 };
    for (const node of this.nodes) found[this.state(node)]++;
    return found;
  }
}
