// Who knocks and is not let in, who was cloned, who did what.

import { act, Asked } from "../asked.js";
import { Card, Component, Empty, State, h } from "../dom.js";
import { ago, called, clock, count, link, number } from "../format.js";
import { Confirm } from "../confirm.js";

const WHY = { "unknown-node": "not enrolled", revoked: "revoked", "wrong-key": "wrong key" };
const LINES = 50;

export class Guard extends Component {
  componentDidMount() {
    const changed = () => this.setState({});
    const { live } = this.props;
    this.audit = new Asked("audit.tail", { limit: LINES }, 5000, changed);
    this.tokens = new Asked("token.list", {}, 15_000, changed);
    for (const each of [this.audit, this.tokens]) if (live.can(each.operation)) each.start();
    this.setState({});
  }

  componentWillUnmount() {
    this.audit.stop();
    this.tokens.stop();
  }

  verify = () => act("audit.verify", {}, (found) => {
    this.setState({ verified: found });
    return found.good ? `Whole: ${number(found.lines)} lines` : `${found.faults.length} faults in the audit log`;
  });

  render({ live, me }, { verified, asking }) {
    const { quarantine, clones, asked } = live, operator = me.role === "operator";
    const done = () => { this.setState({ asking: null }); asked.quarantine.again(); asked.clones.again(); this.audit.again(); };
    return h("div", { class: "view" },
      h("h1", null, "Guard"),
      h("div", { class: "cards wide" },
        clones.length > 0 && h(Card, { title: "Clones", id: "clones", tone: "bad" },
          h("ul", { class: "list" }, clones.map((clone) => h("li", { key: clone.node, class: "stack" },
            h("div", null, h(State, { kind: "bad" }, h("a", { href: `#/nodes/${clone.node}` }, clone.name || clone.node)),
              h("span", { class: "right" }, `${ago(live.now() - clone.last_ms)} ago`)),
            h("p", null, clone.why), h("p", { class: "fine" }, `${number(clone.count)} messages by ${clone.links.map(link).join(" and ")}`),
            operator && h("div", { class: "do" }, live.can("nodes.revoke") && h("button", { class: "danger", onClick: () => this.setState({ asking: clone }) }, `Revoke ${clone.name || clone.node}`)))))),
        live.can("quarantine.list") && h(Card, { title: "Quarantine", id: "quarantine", more: operator && quarantine.length > 0 && h("button", { class: "bare text", onClick: () => act("quarantine.forget", {}, "The list is empty; who speaks again is listed again").then(() => asked.quarantine.again()) }, "Empty the list") },
          asked.quarantine.error && h("p", { class: "wrong", role: "alert" }, asked.quarantine.error),
          quarantine.length === 0 && h(Empty, { title: "Nobody." }, h("p", null, "Devices that are not enrolled, revoked, or sealed with a wrong key are counted here and never forwarded.")),
          h("ul", { class: "list" }, quarantine.map((each) => h("li", { key: `${each.node}-${each.why}`, class: "stack" },
            h("div", null, h(State, { kind: "warn" }, h("code", null, each.name || each.node)), h("span", { class: "right" }, `${ago(live.now() - each.last_ms)} ago`)),
            h("p", { class: "fine" }, `${WHY[each.why] ?? each.why} · ${number(each.count)} messages since ${clock(each.first_ms, live.now())} · ${link(each.link)}${each.name ? ` · ${each.node}` : ""}`),
            operator && h("div", { class: "do" }, h("button", { onClick: () => act("quarantine.forget", { node: each.node }, `${each.node}: forgotten until it speaks again`).then(() => asked.quarantine.again()) }, "Forget")))))),
        live.can("audit.tail") && h(Card, { title: "Audit log", id: "audit", more: operator && h("button", { class: "bare text", onClick: this.verify }, "Verify the chain") },
          verified && h(State, { kind: verified.good ? "good" : "bad" }, verified.good ? `whole, ${number(verified.lines)} lines` : verified.faults.map((fault) => `${fault.file}:${fault.line} ${fault.what}`).join("; ")),
          this.audit?.error && h("p", { class: "wrong", role: "alert" }, this.audit.error),
          h("ol", { class: "list audit", reversed: true }, [...(this.audit?.data?.lines ?? [])].reverse().map((line) => h("li", { key: line.seq, class: "stack" },
            h("div", null, line.outcome === "done" ? h("b", null, line.what) : h(State, { kind: "warn" }, h("b", null, line.what)), h("span", { class: "right" }, clock(Date.parse(line.time), live.now()))),
            h("p", { class: "fine" }, `${line.who === line.via ? "by the gateway itself" : `${line.who}, by ${line.via}`}${line.outcome === "done" ? "" : `: ${line.outcome}`}`, h("code", { class: "cut" }, JSON.stringify(line.data))))))),
        operator && h(Card, { title: "Tokens", id: "tokens" },
          h("ul", { class: "list" }, (this.tokens?.data?.tokens ?? []).map((token) => h("li", { key: token.name },
            h("span", null, h("b", null, token.name), ` ${token.role}${token.name === me.name ? " (you)" : ""}`),
            h("span", { class: "right" }, count(token.sessions, "browser")),
            h("button", { class: "bare text", "aria-label": `Revoke the token ${token.name}`, onClick: () => this.setState({ asking: { token: token.name } }) }, "Revoke")))),
          h("p", { class: "fine" }, "New ones are made on the gateway: ", h("code", null, "fieldline gateway token add NAME --role reader")))),
      asking && h(Confirm, {
        title: asking.token ? `Revoke the token ${asking.token}?` : `Revoke ${asking.name || asking.node}?`,
        text: asking.token ? "Its browsers and programs are out at once." : "Nothing that this device or its clone says counts from now on. To let the right one in again, enroll it with a new key.",
        yes: "Revoke", danger: true, no: () => this.setState({ asking: null }),
        done: () => (asking.token
          ? act("token.revoke", { name: asking.token }, `${asking.token}: revoked`).then(() => { this.tokens.again(); done(); })
          : act("nodes.revoke", { target: asking.node }, `${called({ name: asking.name, node: asking.node })}: revoked`).then(done)),
      }));
  }
}
