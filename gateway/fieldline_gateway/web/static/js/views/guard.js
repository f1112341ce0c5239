// Who knocks and is not let in, who was cloned, who says too much, who did what.

import { act, Asked } from "../asked.js";
import { Card, Component, Empty, State, h } from "../dom.js";
import { ago, called, clock, count, link, number } from "../format.js";
import { Confirm } from "../confirm.js";

const WHY = { "unknown-node": "not enrolled", revoked: "revoked", "wrong-key": "wrong key" };
const LINES = 50;
const NODE = /^[0-9a-f]{16}$/;

export class Guard extends Component {
  componentDidMount() {
    const changed = () => this.setState({});
    const { live } = this.props;
    this.audit = new Asked("audit.tail", { limit: LINES }, 5000, changed);
    this.tokens = new Asked("token.list", {}, 15_000, changed);
    this.limits = new Asked("limit.list", {}, 5000, changed);
    for (const each of [this.audit, this.tokens, this.limits]) if (live.can(each.operation)) each.start();
    this.setState({});
  }

  componentWillUnmount() {
    this.audit.stop();
    this.tokens.stop();
    this.limits.stop();
  }

  done = () => {
    const { asked } = this.props.live;
    this.setState({ asking: null });
    for (const each of [asked.quarantine, asked.clones, asked.alerts, this.audit, this.limits]) if (each.running) each.again();
  };

  revoke = (node, name) => this.setState({ asking: {
    title: `Revoke ${name || node}?`, text: "Nothing that this device or its clone says counts from now on. To let the right one in again, enroll it with a new key.",
    yes: "Revoke", done: () => act("nodes.revoke", { target: node }, `${called({ name, node })}: revoked`).then(this.done),
  } });

  render({ live, me }, { asking }) {
    return h("div", { class: "view" },
      h("h1", null, "Guard"),
      h("div", { class: "cards wide" },
        live.clones.length > 0 && h(Clones, { live, revoke: this.revoke, done: this.done }),
        live.can("quarantine.list") && h(Quarantine, { live, revoke: this.revoke, done: this.done }),
        live.can("audit.tail") && h(Audit, { live, audit: this.audit }),
        h("div", { class: "column" },
          live.can("limit.list") && h(Limits, { live, told: this.limits?.data, error: this.limits?.error, revoke: this.revoke }),
          live.can("token.list") && h(Tokens, { me, tokens: this.tokens?.data?.tokens ?? [], revoke: (name) => this.setState({ asking: {
            title: `Revoke the token ${name}?`, text: "Its browsers and programs are out at once.", yes: "Revoke",
            done: () => act("token.revoke", { name }, `${name}: revoked`).then(() => { this.tokens.again(); this.done(); }),
          } }) }))),
      asking && h(Confirm, { ...asking, danger: true, no: () => this.setState({ asking: null }) }));
  }
}

const isRevoked = (live, node) => live.byId.get(node)?.row.revoked ?? false;
const enrolled = (live, node) => live.byId.has(node) && !isRevoked(live, node);

function Clones({ live, revoke, done }) {
  return h(Card, { title: "Clones", id: "clones", tone: "bad" },
    h("ul", { class: "list" }, live.clones.map((clone) => {
      const name = clone.name || clone.node, alert = live.alerts.find((each) => each.kind === "clone" && each.subject === clone.node);
      return h("li", { key: clone.node, class: "stack" },
        h("div", null, h(State, { kind: "bad" }, h("a", { href: `#/nodes/${clone.node}` }, name)), h("span", { class: "right" }, `${ago(live.now() - clone.last_ms)} ago`)),
        h("p", null, clone.why), h("p", { class: "fine" }, `${count(clone.count, "message")} by ${clone.links.map(link).join(" and ")}`),
        isRevoked(live, clone.node) && h("p", { class: "fine" }, "Revoked: neither of the two is heard any more."),
        h("div", { class: "do" },
          enrolled(live, clone.node) && live.can("nodes.revoke") && h("button", { class: "danger", onClick: () => revoke(clone.node, clone.name) }, `Revoke ${name}`),
          alert && live.can("alert.clear") && h("button", { "aria-label": `It is over: ${name}`, onClick: () => act("alert.clear", { id: alert.id }, `${name}: over`).then(done) }, "It is over")));
    })));
}

function Quarantine({ live, revoke, done }) {
  const { quarantine, asked } = live, can = live.can("quarantine.forget"), told = asked.quarantine.data;
  return h(Card, { title: "Quarantine", id: "quarantine", more: can && quarantine.length > 0 && h("button", { class: "bare text", onClick: () => act("quarantine.forget", {}, "The list is empty; who speaks again is listed again").then(done) }, "Empty the list") },
    asked.quarantine.error && h("p", { class: "wrong", role: "alert" }, asked.quarantine.error),
    told?.flood && h("p", null, h(State, { kind: "bad" }, `Somebody invents ids: ${number(told.messages)} messages, ${count(told.forgotten, "entry", "entries")} had no room here.`)),
    quarantine.length === 0 && h(Empty, { title: "Nobody." }, h("p", null, "Devices that are not enrolled, revoked, or sealed with a wrong key are counted here and never forwarded.")),
    h("ul", { class: "list" }, quarantine.map((each) => h("li", { key: `${each.node}-${each.why}`, class: "stack" },
      h("div", null, h(State, { kind: each.why === "wrong-key" ? "bad" : "warn" }, each.name ? h("a", { href: `#/nodes/${each.node}` }, each.name) : h("code", null, each.node)), h("span", { class: "right" }, `${ago(live.now() - each.last_ms)} ago`)),
      h("p", { class: "fine" }, `${WHY[each.why] ?? each.why} · ${count(each.count, "message")} since ${clock(each.first_ms, live.now())} · ${link(each.link)}${each.name ? ` · ${each.node}` : ""}`),
      each.why === "unknown-node" && h("p", { class: "fine" }, "Yours? ", h("code", null, `fieldline gateway enroll ${each.node} --name NAME < key.hex`)),
      h("div", { class: "do" },
        enrolled(live, each.node) && live.can("nodes.revoke") && h("button", { class: "danger", "aria-label": `Revoke ${each.name}`, onClick: () => revoke(each.node, each.name) }, "Revoke"),
        can && h("button", { "aria-label": `Forget ${each.name || each.node}`, onClick: () => act("quarantine.forget", { node: each.node }, `${each.name || each.node}: forgotten until it speaks again`).then(done) }, "Forget"))))));
}

function Limits({ live, told, error, revoke }) {
  const { limits, nodes = [] } = told ?? {};
  return h(Card, { title: "Limits", id: "limits" },
    error && h("p", { class: "wrong", role: "alert" }, error),
    limits && h("p", { class: "fine" }, `Each node: ${number(limits.messages_per_s)} messages a second, ${number(limits.burst)} at once; alarms beyond that ${number(limits.alarms_per_s)} a second, ${number(limits.alarm_burst)} at once.`),
    told && nodes.length === 0 && h("p", null, "No node was over its limit in this run."),
    h("ul", { class: "list" }, nodes.map((each) => h("li", { key: each.node, class: "stack" },
      h("div", null, h(State, { kind: "warn" }, h("a", { href: `#/nodes/${each.node}` }, each.name || each.node)), h("span", { class: "right" }, `${ago(each.last_s * 1000)} ago`)),
      h("p", { class: "fine" }, `${count(each.over, "message")} put off${each.alarms_over ? `, ${count(each.alarms_over, "alarm")} among them` : ""}; it keeps them and tries again`),
      enrolled(live, each.node) && live.can("nodes.revoke") && h("div", { class: "do" }, h("button", { class: "danger", "aria-label": `Revoke ${each.name}`, onClick: () => revoke(each.node, each.name) }, "Revoke"))))));
}

class Audit extends Component {
  verify = () => act("audit.verify", {}, (found) => {
    this.setState({ verified: found });
    return found.good ? `Whole: ${count(found.lines, "line")}` : `${count(found.faults.length, "fault")} in the audit log`;
  });

  render({ live, audit }, { verified }) {
    return h(Card, { title: "Audit log", id: "audit", more: h("button", { class: "bare text", onClick: this.verify }, "Verify the chain") },
      verified && h(State, { kind: verified.good ? "good" : "bad" }, verified.good ? `whole, ${count(verified.lines, "line")}` : verified.faults.map((fault) => `${fault.file}:${fault.line} ${fault.what}`).join("; ")),
      audit?.error && h("p", { class: "wrong", role: "alert" }, audit.error),
      h("ol", { class: "list audit", reversed: true }, [...(audit?.data?.lines ?? [])].reverse().map((line) => h("li", { key: line.seq, class: "stack" },
        h("div", null, line.outcome === "done" ? h("b", null, line.what) : h(State, { kind: "warn" }, h("b", null, line.what)), h("span", { class: "right" }, clock(Date.parse(line.time), live.now()))),
        h("p", { class: "fine" }, [line.who === line.via ? "by the gateway itself" : `${line.who}, by ${line.via}`, line.outcome !== "done" && line.outcome, ...facts(line.data, live)].filter(Boolean).join(" · "))))));
  }
}

// The data of an audit line in words: nodes by their name, links without their folders.
function facts(data, live) {
  return Object.entries(data).map(([key, value]) => {
    if (typeof value === "string" && NODE.test(value)) return `${key} ${live.byId.get(value)?.row.name || value}`;
    if (key === "link" || key === "links") return `${key} ${[value].flat().map(link).join(", ")}`;
    return `${key.replaceAll("_", " ")} ${value !== null && typeof value === "object" ? JSON.stringify(value) : value}`;
  });
}

function Tokens({ me, tokens, revoke }) {
  return h(Card, { title: "Tokens", id: "tokens" },
    h("ul", { class: "list" }, tokens.map((token) => h("li", { key: token.name },
      h("span", null, h("b", null, token.name), ` ${token.role}${token.name === me.name ? " (you)" : ""}`),
      h("span", { class: "right" }, count(token.sessions, "browser")),
      h("button", { class: "bare text", "aria-label": `Revoke the token ${token.name}`, onClick: () => revoke(token.name) }, "Revoke")))),
    h("p", { class: "fine" }, "New ones are made on the gateway: ", h("code", null, "fieldline gateway token add NAME --role reader")));
}
