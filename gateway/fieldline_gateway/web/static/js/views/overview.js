// The morning's first look: what needs somebody, then how everything goes.

import { Bar, Card, Component, State, h } from "../dom.js";
import { ago, bytes, called, count, number } from "../format.js";
import { FleetMap } from "../map.js";
import { attention } from "../attention.js";
import { AlertRow, acknowledge } from "./alerts.js";
import { WORDS, valueOf } from "./nodes.js";

const SHOWN = 6;
const TILES = 60; // nodes that are shown one by one; more are drawn small

export class Overview extends Component {
  render({ live, me }) {
    const needs = attention(live);
    return h("div", { class: "view" },
      h("h1", { class: "headline" }, needs.length ? `${count(needs.length, "thing")} ${needs.length === 1 ? "needs" : "need"} you` : "All well"),
      needs.length === 0 && h("p", { class: "lead" }, allWell(live)),
      needs.length > 0 && h("ul", { class: "needs" }, needs.slice(0, SHOWN).map((each) =>
        h("li", { key: each.key, class: each.tone },
          h("a", { href: each.href }, h(State, { kind: each.tone }, h("strong", null, each.what)), h("span", null, each.why)),
          each.alert && live.can("alert.acknowledge") && h("button", { "aria-label": `Acknowledge: ${each.what}`, onClick: () => acknowledge(each.alert, live) }, "Acknowledge")))),
      needs.length > SHOWN && h("p", { class: "lead" }, h("a", { href: "#/alerts" }, `and ${needs.length - SHOWN} more`)),
      h("div", { class: "cards" },
        live.nodes.length > 0 && (live.nodes.length <= TILES
          ? h(Card, { title: "Every node", id: "every", tone: "full" }, h(Tiles, { live }))
          : h(Card, { title: "Every node", id: "every", tone: "full", more: h("span", { class: "fine" }, "full colour: just heard; pale: long ago") }, h(FleetMap, { live }))),
        h(NodesCard, { live }),
        h(FlowCard, { live }),
        h(SinksCard, { live }),
        h(SeenCard, { live, me })));
  }
}

function allWell(live) {
  const counts = live.counts();
  if (!live.nodes.length) return "No nodes yet. Enrol one: fieldline gateway enroll NODE --name fan-1 < key.hex";
  return `${number(counts.heard)} of ${count(live.nodes.length - counts.revoked, "node")} heard, nothing is held up.`;
}

function NodesCard({ live }) {
  const counts = live.counts(), total = live.nodes.length;
  const parts = [
    { kind: "good", value: counts.heard, text: "heard", filter: "heard" },
    { kind: "bad", value: counts.silent, text: "silent", filter: "silent" },
    { kind: "idle", value: counts.never, text: "never heard", filter: "never" },
    { kind: "off", value: counts.revoked, text: "revoked", filter: "revoked" },
  ];
  return h(Card, { title: "Nodes", id: "nodes", more: h("a", { href: "#/nodes" }, "all") },
    h("p", { class: "big" }, number(counts.heard), h("small", null, ` of ${number(total)} heard`)),
    h(Bar, { parts, total, label: parts.map((part) => `${part.value} ${part.text}`).join(", ") }),
    h("ul", { class: "legend" }, parts.filter((part) => part.value).map((part) =>
      h("li", { key: part.kind }, h("a", { href: `#/nodes?state=${part.filter}` }, h(State, { kind: part.kind }, `${number(part.value)} ${part.text}`))))));
}

function FlowCard({ live }) {
  const { store, links } = live.parts;
  const open = links.filter((link) => link.open).length;
  const full = store.bytes / store.max_bytes;
  return h(Card, { title: "Flow", id: "flow", more: h("a", { href: "#/gateway" }, "details") },
    h("p", { class: "big" }, live.rate === null ? "–" : number(live.rate), h("small", null, " messages a second")),
    h(Spark, { points: live.rates, label: "messages a second, the last two minutes" }),
    h("dl", { class: "facts" },
      h("dt", null, "Links"), h("dd", null, `${open} of ${links.length} open`),
      h("dt", null, "Store"), h("dd", null,
        store.held ? h(State, { kind: "bad" }, `held: ${store.held}`) : `${bytes(store.bytes)}, ${Math.round(100 * full)} % of its room`)));
}

function SinksCard({ live }) {
  return h(Card, { title: "Sinks", id: "sinks", more: h("a", { href: "#/gateway" }, "details") },
    live.parts.sinks.length === 0 && h("p", null, "None."),
    h("ul", { class: "list" }, live.parts.sinks.map((sink) =>
      h("li", { key: sink.sink },
        h(State, { kind: sink.connected ? "good" : "bad" }, sink.sink),
        h("span", { class: "right" }, sink.connected ? (sink.lag ? `${number(sink.lag)} behind` : "up to date") : "not connected")))));
}

// What somebody has seen and is not over.
function SeenCard({ live, me }) {
  const seen = live.alerts.filter((alert) => alert.acknowledged);
  if (!seen.length) return null;
  return h(Card, { title: "Seen, not over", id: "seen", more: h("a", { href: "#/alerts" }, "all") },
    h("ul", { class: "list" }, seen.slice(0, 5).map((alert) => h("li", { key: alert.id }, h(AlertRow, { alert, live, me })))));
}

// A few nodes: each with its name, its first reading and how fresh it is.
function Tiles({ live }) {
  const nodes = [...live.nodes].sort((a, b) => called(a.row).localeCompare(called(b.row), "en", { numeric: true }));
  return h("ul", { class: "tiles" }, nodes.map((node) => {
    const { row } = node, state = live.state(node), [kind, word] = WORDS[state], [first] = row.sensors;
    return h("li", { key: node.id }, h("a", { class: `tile ${kind}`, href: `#/nodes/${node.id}` },
      h("span", { class: "tile-name" }, h("span", { class: `mark ${kind}`, "aria-hidden": "true" }), h("b", null, called(row))),
      first ? h("span", { class: "tile-value" }, h("b", null, number(valueOf(node.values[0]))), ` ${first[2]}`) : h("span", { class: "tile-value none" }, "no reading"),
      h("small", null, state === "heard" || state === "silent" ? `${word} ${ago(live.now() - node.heard)} ago` : word)));
  }));
}

// A small line of what was, without axes.
function Spark({ points, label }) {
  const most = Math.max(...points, 1), step = 100 / Math.max(points.length - 1, 1);
  const line = points.map((value, at) => `${(at * step).toFixed(1)},${(28 - (26 * value) / most).toFixed(1)}`).join(" ");
  return h("svg", { class: "spark", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": label },
    points.length > 1 && h("polyline", { points: line, "vector-effect": "non-scaling-stroke" }));
}
