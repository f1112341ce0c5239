// Alerts: what is not as it should be, since when, and who has seen it.

import { act, Asked } from "../asked.js";
import { Card, Component, Empty, State, h } from "../dom.js";
import { ago, clock, count } from "../format.js";

const TONES = { info: "idle", warning: "warn", critical: "bad" };
const NODE = /^[0-9a-f]{16}/; // a node's alert, or one of a sensor of it: NODE/SENSOR/...

export class Alerts extends Component {
  state = { past: false };

  componentDidMount() {
    this.notifiers = new Asked("alert.notifiers", {}, 5000, () => this.setState({}));
    if (this.props.live.can("alert.notifiers")) this.notifiers.start();
    this.past = new Asked("alert.list", { open: false, limit: 200 }, 15_000, () => this.setState({}));
  }

  componentWillUnmount() {
    this.past.stop();
    this.notifiers.stop();
  }

  togglePast = () => {
    const past = !this.state.past;
    if (past) this.past.start();
    else this.past.stop();
    this.setState({ past });
  };

  render({ live, me }, { past }) {
    const { alerts, asked } = live;
    const open = alerts ?? [], unseen = open.filter((alert) => !alert.acknowledged);
    const over = (this.past?.data?.alerts ?? []).filter((alert) => alert.cleared_ms);
    return h("div", { class: "view" },
      h("h1", null, "Alerts ", h("small", null, open.length ? `${open.length} open, ${unseen.length} not seen by anybody` : "")),
      asked.alerts.error && h("p", { class: "wrong", role: "alert" }, `Alerts cannot be shown: ${asked.alerts.error}`),
      h("div", { class: "tools" },
        unseen.length > 1 && me.role === "operator" && h("button", {
          onClick: () => act("alert.acknowledge", { ids: unseen.map((alert) => alert.id) }, `${unseen.length} alerts acknowledged`).then(() => asked.alerts.again()),
        }, `Acknowledge all ${unseen.length}`),
        h("button", { class: "bare text", "aria-pressed": String(past), onClick: this.togglePast }, past ? "Hide what is over" : "Show what is over")),
      open.length === 0 && !asked.alerts.error && h(Empty, { title: "Nothing is wrong." }, h("p", null, "An alert that is raised stands here until it is cleared.")),
      h("ul", { class: "alerts" }, open.map((alert) => h("li", { key: alert.id, class: "card" }, h(AlertRow, { alert, live, me, full: true })))),
      past && h("section", null, h("h2", null, "Over"),
        over.length === 0 && h("p", null, this.past.error || "None."),
        h("ul", { class: "list" }, over.map((alert) => h("li", { key: alert.id, class: "stack" },
          h("div", null, h("strong", null, title(alert, live)), h("span", { class: "right" }, `${clock(alert.raised_ms, live.now())}, for ${ago(alert.cleared_ms - alert.raised_ms)}`)),
          h("p", { class: "fine" }, alert.text))))),
      this.notifiers?.data && h(Notifiers, { live, told: this.notifiers.data.notifiers, again: () => this.notifiers.again() }));
  }
}

// Who is told of alerts, and whether that goes well.
function Notifiers({ live, told, again }) {
  return h(Card, { title: "Told to", id: "notifiers", more: told.length > 0 && live.can("alert.test") && h("button", { class: "bare text", onClick: () => act("alert.test", {}, "A test alert is on its way to all of them").then(again) }, "Send a test") },
    told.length === 0 && h("p", { class: "fine" }, "Nobody: add a ", h("code", null, "[[notify]]"), " table to the configuration (mail, webhook or MQTT)."),
    h("ul", { class: "list" }, told.map((each) => h("li", { key: each.name, class: "stack" },
      h("div", null, h(State, { kind: each.last_error ? "bad" : "good" }, `${each.name}${each.name === each.kind ? "" : `, by ${each.kind}`}`),
        h("span", { class: "right" }, [each.waiting && `${each.waiting} wait`, `${each.delivered} told`, each.lost && `${each.lost} lost`].filter(Boolean).join(", "))),
      each.last_error && h("p", { class: "fine" }, `${each.last_error}${each.next_try_s ? `; again in ${count(Math.ceil(each.next_try_s), "second")}` : ""}`)))));
}

export const toneOf = (alert) => TONES[alert.severity] ?? "warn";

export function title(alert, live) {
  const name = alert.name || live.byId.get(alert.subject.slice(0, 16))?.row.name || alert.subject;
  return `${name}: ${alert.kind.replaceAll("-", " ")}`;
}

export const acknowledge = (alert, live) =>
  act("alert.acknowledge", { id: alert.id }, `Acknowledged: ${title(alert, live)}`).then(() => live.asked.alerts.again());

export function AlertRow({ alert, live, me, full }) {
  const { acknowledged } = alert, name = title(alert, live);
  return h("div", { class: "alert" },
    h("div", { class: "what" },
      h(State, { kind: acknowledged ? "idle" : toneOf(alert) },
        NODE.test(alert.subject) ? h("a", { href: `#/nodes/${alert.subject.slice(0, 16)}` }, name) : name),
      h("p", null, alert.text),
      h("p", { class: "fine" }, `${alert.severity}, raised ${ago(live.now() - alert.raised_ms)} ago`,
        alert.times > 1 && `, ${alert.times} times`,
        acknowledged && `; seen by ${acknowledged.by}${acknowledged.note ? `: ${acknowledged.note}` : ""}`)),
    me.role === "operator" && h("div", { class: "do" },
      !acknowledged && h("button", {
        "aria-label": `Acknowledge: ${name}`,
        onClick: () => acknowledge(alert, live),
      }, "Acknowledge"),
      full && alert.latched && h("button", {
        "aria-label": `Clear: ${name}`,
        onClick: () => act("alert.clear", { id: alert.id }, `Cleared: ${name}`).then(() => live.asked.alerts.again()),
      }, "Clear")));
}
