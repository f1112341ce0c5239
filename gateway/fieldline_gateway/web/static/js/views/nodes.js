// All nodes as a table of which only the rows in sight exist, so that 30,000 cost what 30 do.

import { Component, Empty, Simulated, State, h } from "../dom.js";
import { ago, called, link, number } from "../format.js";

const ROW = 52; // px, as in app.css
const SPARE = 6;
const STATES = [["", "all"], ["heard", "heard"], ["silent", "silent"], ["never", "never heard"], ["revoked", "revoked"]];
export const WORDS = { heard: ["good", "heard"], silent: ["bad", "silent"], never: ["idle", "never heard"], revoked: ["off", "revoked"] };
const ORDERS = {
  name: (a, b) => called(a.row).localeCompare(called(b.row), "en", { numeric: true }),
  heard: (a, b) => b.heard - a.heard,
  value: (a, b) => first(b) - first(a),
  place: (a, b) => where(a.row).localeCompare(where(b.row), "en", { numeric: true }),
  link: (a, b) => (a.row.link ?? "").localeCompare(b.row.link ?? ""),
  gaps: (a, b) => gaps(b) - gaps(a),
};
const COLUMNS = [["name", "Node"], ["value", "Last reading"], ["heard", "Heard"], ["place", "Place, tags"], ["link", "Link"], ["gaps", "In gaps"]];

const where = (row) => `${row.place ?? ""} ${(row.tags ?? []).join(" ")}`.trim();
export const valueOf = (value) => (Array.isArray(value) ? value[0] : value);
const first = (node) => (node.values.length ? valueOf(node.values[0]) : -Infinity);
const gaps = (node) => node.counts.reduce((sum, [, , lost]) => sum + lost, 0);

export class Nodes extends Component {
  state = { text: "", order: "name", down: false, top: 0, height: 600, at: 0 };

  componentDidMount() {
    this.sized = new ResizeObserver(() => this.box && this.setState({ height: this.box.clientHeight }));
    if (this.box) this.sized.observe(this.box);
  }

  componentWillUnmount() {
    this.sized.disconnect();
  }

  // Filtered and sorted, anew only when something changed that matters.
  list() {
    const { live, query } = this.props, { text, order, down } = this.state;
    const wanted = query.get("state") ?? "", words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = live.nodes.filter((node) => {
      if (wanted && live.state(node) !== wanted) return false;
      const { row } = node;
      return words.every((word) => [row.node, row.name, row.link ?? "", row.board, row.place ?? "", row.owner ?? "", row.parent ?? "", ...(row.tags ?? [])].some((each) => each.toLowerCase().includes(word)));
    });
    found.sort(ORDERS[order]);
    return down ? found.reverse() : found;
  }

  key = (event) => {
    const { at } = this.state, page = Math.floor(this.state.height / ROW) - 1, last = this.shown.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.go(Math.max(0, Math.min(last, to)));
    } else if (event.key === "Enter" && this.shown[at]) {
      location.hash = `#/nodes/${this.shown[at].id}`;
    }
  };

  go(at) {
    const { box } = this, top = at * ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
    this.setState({ at, top: box.scrollTop });
  }

  sort(order) {
    this.setState((before) => ({ order, down: before.order === order && !before.down }));
  }

  render({ live, query }, { text, order, down, top, height, at }) {
    const counts = live.counts(), wanted = query.get("state") ?? "";
    const shown = this.shown = this.list();
    const from = Math.max(0, Math.floor(top / ROW) - SPARE), to = Math.min(shown.length, Math.ceil((top + height) / ROW) + SPARE);
    return h("div", { class: "view tall" },
      h("h1", null, "Nodes ", h("small", null, shown.length === live.nodes.length ? number(shown.length) : `${number(shown.length)} of ${number(live.nodes.length)}`)),
      h("div", { class: "tools" },
        h("input", { type: "search", value: text, placeholder: "Name, id, place, tag, link …", "aria-label": "Filter nodes", onInput: (event) => this.setState({ text: event.target.value, at: 0 }) }),
        h("div", { class: "chips", role: "group", "aria-label": "State" }, STATES.map(([state, label]) =>
          (state === "" || state === wanted || counts[state] > 0) &&
          h("a", { key: state, class: "chip", href: state ? `#/nodes?state=${state}` : "#/nodes", "aria-current": state === wanted ? "true" : undefined },
            label, h("small", null, number(state ? counts[state] : live.nodes.length)))))),
      h("div", { class: "grid", role: "grid", "aria-label": "Nodes", "aria-rowcount": shown.length + 1 },
        h("div", { class: "head", role: "row", "aria-rowindex": 1 }, COLUMNS.map(([name, label]) =>
          h("div", { key: name, role: "columnheader", class: `cell ${name}`, "aria-sort": order === name ? (down ? "descending" : "ascending") : "none" },
            h("button", { class: "sort", onClick: () => this.sort(name) }, label, h("span", { class: "arrow", "aria-hidden": "true" }, order === name ? (down ? "▾" : "▴") : ""))))),
        h("div", {
          class: "rows", role: "rowgroup", tabindex: 0, "aria-label": "Nodes: arrows move, Enter opens", ref: (box) => { this.box = box; },
          onScroll: (event) => this.setState({ top: event.currentTarget.scrollTop }), onKeyDown: this.key,
        },
          h("div", { class: "all", role: "presentation", style: { height: `${shown.length * ROW}px` } },
            shown.slice(from, to).map((node, place) =>
              h(Row, { key: node.id, node, live, place: from + place, current: from + place === at, move: node.seen, now: live.state(node) === "heard" && Math.floor((live.now() - node.heard) / 1000) })))),
        shown.length === 0 && (live.nodes.length
          ? h(Empty, { title: "No node is like that." }, h("a", { href: "#/nodes", onClick: () => this.setState({ text: "" }) }, "Show all"))
          : h(Empty, { title: "No nodes yet." }, h("p", null, "Let one speak: ", h("code", null, "fieldline gateway enroll NODE --name fan-1 < key.hex"))))));
  }
}

function Row({ node, live, place, current }) {
  const { row } = node, state = live.state(node), [kind, word] = WORDS[state];
  const age = live.now() - node.heard, fresh = Date.now() - node.seen < 1500 && state === "heard";
  return h("a", { class: `row ${kind} ${current ? "current" : ""}`, role: "row", "aria-rowindex": place + 2, tabindex: -1, href: `#/nodes/${node.id}`, style: { transform: `translateY(${place * ROW}px)` } },
    h("div", { role: "gridcell", class: "cell name" },
      h("span", { class: `mark ${kind} ${fresh ? "fresh" : ""}`, "aria-hidden": "true" }),
      h("span", { class: "names" }, h("b", null, called(row)), h("small", null, row.simulated && h(Simulated), row.name === row.node ? row.board : row.node))),
    h("div", { role: "gridcell", class: "cell value" }, h(Values, { node })),
    h("div", { role: "gridcell", class: "cell heard" }, state === "heard" || state === "silent" ? h(State, { kind }, `${ago(age)}${state === "silent" ? ", silent" : ""}`) : h(State, { kind }, word)),
    h("div", { role: "gridcell", class: "cell place", title: where(row) }, h("span", { class: "names" }, row.place && h("span", { class: "cut-off" }, row.place), row.tags && h("small", null, row.tags.join(" · ")))),
    h("div", { role: "gridcell", class: "cell link", title: row.link ?? "" }, link(row.link)),
    h("div", { role: "gridcell", class: "cell gaps" }, gaps(node) ? h("b", { class: "warn" }, number(gaps(node))) : "0"));
}

// The first two values of a node; the others are on its own page.
function Values({ node }) {
  const { sensors } = node.row;
  if (!sensors.length) return h("span", { class: "none" }, "no reading yet");
  return h("span", { class: "values" }, sensors.slice(0, 2).map(([sensor, quantity, unit], at) =>
    h("span", { key: `${sensor}-${quantity}` }, h("b", null, number(valueOf(node.values[at]))), ` ${unit}`)),
  sensors.length > 2 && h("small", null, `+${sensors.length - 2}`));
}
