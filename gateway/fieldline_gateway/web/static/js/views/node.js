// One node: what it is, what it measures and measured, how it is set, what was asked of it.

import * as api from "../api.js";
import { act } from "../asked.js";
import { Confirm } from "../confirm.js";
import { Card, Component, Empty, Icon, Simulated, State, h } from "../dom.js";
import { ago, called, clock, link, number } from "../format.js";
import { Plot, Series, high, lineColor, low } from "../plot.js";
import { AlertRow } from "./alerts.js";
import { NodeCommands } from "./commands.js";
import { LabelsCard, Tags } from "./labels.js";
import { SettingsCard } from "./settings.js";
import { WORDS, valueOf } from "./nodes.js";

const RANGES = [[900, "15 min"], [3600, "1 hour"], [6 * 3600, "6 hours"], [24 * 3600, "1 day"]];
const POINTS = 600;

export class Node extends Component {
  state = { seconds: 3600, past: null, error: "", asking: false };

  componentDidMount() {
    this.load(this.state.seconds);
    this.deaf = this.props.live.listen((moved) => this.moved(moved));
  }

  componentWillUnmount() {
    this.deaf();
  }

  async load(seconds) {
    this.setState({ seconds, error: "" });
    this.wanted = seconds;
    try {
      const past = await api.call("readings.history", { node: this.props.id, seconds, points: POINTS });
      if (this.wanted !== seconds) return;
      this.series = past.series.map((each) => new Series(each));
      this.setState({ past });
    } catch (error) {
      this.setState({ error: error.message });
    }
  }

  // What came since the past was read goes behind it.
  moved(moved) {
    if (!this.series) return;
    const node = moved.find((each) => each.id === this.props.id);
    if (!node) return;
    node.row.sensors.forEach(([sensor, quantity, unit], at) => {
      const value = node.values[at];
      let series = this.series.find((each) => each.sensor === sensor && each.quantity === quantity);
      if (!series) this.series.push(series = new Series({ sensor, quantity, unit }));
      if (Array.isArray(value)) series.add(value[1], value[0]);
      else if (value !== undefined) series.add(node.heard, value);
    });
  }

  render({ live, me, id }, { seconds, past, error, asking }) {
    const node = live.byId.get(id);
    if (!node) return h("div", { class: "view" }, h(Empty, { title: "No such node is enrolled here." }, h("p", null, h("a", { href: "#/nodes" }, "All nodes"))));
    const { row } = node, state = live.state(node), [kind, word] = WORDS[state];
    const alerts = live.alerts.filter((alert) => alert.subject.startsWith(id));
    return h("div", { class: "view" },
      h("p", { class: "crumb" }, h("a", { href: "#/nodes" }, h(Icon, { name: "back" }), "Nodes")),
      h("header", { class: "node" },
        h("h1", null, called(row), " ", row.simulated && h(Simulated)),
        h("p", { class: "lead" }, h(State, { kind }, state === "heard" || state === "silent" ? `${word}, ${ago(live.now() - node.heard)} ago` : word),
          [row.name !== row.node && row.node, row.board, row.firmware && `firmware ${row.firmware}`, row.link && `by ${link(row.link)}`, row.place].filter(Boolean).map((text) => h("span", { key: text }, text))),
        row.tags && h(Tags, { tags: row.tags })),
      alerts.length > 0 && h(Card, { title: "Alerts", id: "node-alerts", tone: "warn" }, h("ul", { class: "list" }, alerts.map((alert) => h("li", { key: alert.id }, h(AlertRow, { alert, live, me, full: true }))))),
      row.sensors.length > 0 && h("ul", { class: "values", "aria-label": "Last readings" }, row.sensors.map(([sensor, quantity, unit], at) =>
        h("li", { key: `${sensor}-${quantity}` }, h("small", null, `${quantity}, sensor ${sensor}`),
          h("p", null, h("b", null, number(valueOf(node.values[at]))), ` ${unit}`),
          Array.isArray(node.values[at]) && h("small", { class: "warn" }, `${ago(live.now() - node.values[at][1])} old`)))),
      h("div", { class: "cards wide" },
        h(PastCard, { series: this.series, past, error, seconds, live, node, load: (wanted) => this.load(wanted) }),
        live.can("node.settings") && h(SettingsCard, { live, node }),
        live.can("command.list") && h(NodeCommands, { live, node }),
        h(LabelsCard, { live, node }),
        h(NumbersCard, { node, past, live }),
        live.can("nodes.revoke") && !row.revoked && h(Card, { title: "Access", id: "access" },
          h("p", null, "Revoke it where it was stolen, sold or cloned: nothing that it says counts from then on."),
          h("div", { class: "do" }, h("button", { class: "danger", onClick: () => this.setState({ asking: true }) }, "Revoke")))),
      asking && h(Confirm, {
        title: `Revoke ${called(row)}?`, text: "Nothing that it says counts from now on. To let it in again, enroll it with a new key.", yes: "Revoke", danger: true,
        no: () => this.setState({ asking: false }), done: () => act("nodes.revoke", { target: id }, `${called(row)}: revoked`).then(() => this.setState({ asking: false })),
      }));
  }
}

function PastCard({ series, past, error, seconds, live, node, load }) {
  const untilMs = live.now(), sinceMs = untilMs - seconds * 1000;
  const marks = past ? [
    ...past.alerts.map((alert) => ({ ms: alert.ms, kind: alert.raised ? "raised" : "cleared" })),
    ...past.gaps.map((gap) => ({ ms: gap.ms, kind: "gap" })),
  ] : [];
  const quantities = new Map();
  for (const each of series ?? []) {
    each.since(sinceMs);
    if (each.t.length) quantities.set(each.quantity, [...(quantities.get(each.quantity) ?? []), each]);
  }
  return h(Card, {
    title: "The last " + RANGES.find(([each]) => each === seconds)[1].replace(/^1 /, ""), id: "past", tone: "full",
    more: h("div", { class: "chips", role: "group", "aria-label": "Time shown" }, RANGES.map(([each, label]) =>
      h("button", { key: each, class: "chip", "aria-pressed": String(each === seconds), onClick: () => load(each) }, label))),
  },
    error && h("p", { class: "wrong", role: "alert" }, `The past cannot be shown: ${error} `, h("button", { class: "bare text", onClick: () => load(seconds) }, "Try again")),
    !past && !error && h("p", { class: "loading" }, "Reading the store …"),
    past && quantities.size === 0 && h(Empty, { title: "No reading in this time." }, h("p", null, node.heard ? `It was last heard ${ago(live.now() - node.heard)} ago.` : "It was never heard.")),
    past && !past.complete && h("p", { class: "fine" }, `There is so much in the store that only what came since ${clock(past.searched_ms, untilMs)} was looked through.`),
    [...quantities].map(([quantity, found]) => h("div", { key: quantity, class: "quantity" },
      h("h3", null, quantity, h("small", null, found[0].unit)),
      h(Plot, { series: found, marks, sinceMs, untilMs, label: quantity }),
      h("div", { class: "scroll" }, h("table", { class: "summary" },
        h("thead", null, h("tr", null, ["sensor", "now", "lowest", "highest"].map((text) => h("th", { key: text, scope: "col" }, text)))),
        h("tbody", null, found.map((each, at) => h("tr", { key: each.sensor },
          h("th", { scope: "row" }, h("span", { class: `swatch ${lineColor(at)}`, "aria-hidden": "true" }), each.sensor),
          h("td", null, number(each.last)), h("td", null, number(low(each))), h("td", null, number(high(each)))))))))));
}

function NumbersCard({ node, past, live }) {
  const { classes } = node.row, gaps = past?.gaps ?? [];
  return h(Card, { title: "Numbers", id: "numbers" },
    classes.length === 0 ? h("p", null, "It has given no number yet.") :
      h("div", { class: "scroll" }, h("table", null,
        h("thead", null, h("tr", null, ["class", "last", "stored", "in gaps"].map((text) => h("th", { key: text, scope: "col" }, text)))),
        h("tbody", null, classes.map((name, at) => h("tr", { key: name }, h("th", { scope: "row" }, name), node.counts[at].map((value, place) => h("td", { key: place, class: place === 2 && value ? "warn" : "" }, number(value)))))))),
    gaps.length > 0 && h("div", null, h("h3", null, "Gaps in this time"), h("ul", { class: "list" }, gaps.slice(-5).reverse().map((gap) =>
      h("li", { key: `${gap.class}-${gap.first}` }, h("span", null, `${gap.class} ${gap.first}–${gap.last}: ${gap.reason}`), h("span", { class: "right" }, clock(gap.ms, live.now())))))));
}
