// Commands: an order to one or many nodes, how far each is, and its end where somebody stops it (docs/fleet.md 4).

import * as api from "../api.js";
import { act, Asked } from "../asked.js";
import { Confirm } from "../confirm.js";
import { Bar, Card, Component, Empty, State, h } from "../dom.js";
import { ago, clock, count, number } from "../format.js";

const COUNTS = [["done", "good"], ["waiting", "accent"], ["rejected", "bad"], ["failed", "bad"], ["expired", "warn"], ["cancelled", "off"]];
const KINDS = { queued: "idle", sent: "busy", "in progress": "busy", done: "good", rejected: "bad", failed: "bad", expired: "warn", cancelled: "off" };
const OPEN = new Set(["queued", "sent", "in progress"]);
// Of wire.md 5.12, with their arguments and what these are at first; erase is for the terminal.
const ORDERS = {
  identify: { what: "Identify", fields: [["seconds", "For (s)", 5, 255]] },
  ping: { what: "Ping", fields: [] },
  hello: { what: "Hello", fields: [] },
  restart: { what: "Restart", fields: [] },
  output: { what: "Output", fields: [["pin", "Pin", 0, 255], ["level", "Level (0 or 1)", 0, 1]] },
};
const LIVES = [[60, "1 minute"], [600, "10 minutes"], [3600, "1 hour"], [86_400, "1 day"], [7 * 86_400, "1 week"]];
const SHOWN = 200;

export class Commands extends Component {
  componentDidMount() {
    this.jobs = new Asked("job.list", { limit: 50 }, 2000, () => this.setState({})).start();
  }

  componentWillUnmount() {
    this.jobs.stop();
  }

  render({ live }) {
    const jobs = this.jobs?.data?.jobs ?? [], again = () => this.jobs.again();
    return h("div", { class: "view" }, h("h1", null, "Commands"),
      live.can("command.send") && h(SendCard, { live, again }),
      this.jobs?.error && h("p", { class: "wrong", role: "alert" }, this.jobs.error),
      this.jobs?.data && jobs.length === 0 && h(Empty, { title: "No command was sent yet." }, h("p", null, "Who is away gets it when it comes back, until its time is over.")),
      jobs.map((job) => h(Job, { key: job.job, job, live, again })));
  }
}

class SendCard extends Component {
  state = { target: "", command: "identify", ttl: 3600, values: {}, meant: null };

  ask = async (event) => {
    event.preventDefault();
    const target = this.state.target.trim() || "*";
    try {
      const { meant } = await api.call("nodes.list", { target, limit: 0 });
      this.setState({ error: meant ? "" : "The target means no node.", meant: meant || null });
    } catch (error) {
      this.setState({ error: error.message });
    }
  };

  send = async () => {
    const { target, command, ttl, values } = this.state;
    const told = Object.fromEntries(ORDERS[command].fields.map(([name, , first]) => [name, Number(values[name] ?? first)]));
    // The id makes a repeat of this very order harmless.
    await act("command.send", { target: target.trim() || "*", command, ttl_s: ttl, once: `page-${Date.now()}-${Math.random().toString(36).slice(2, 10)}`, ...told }, (job) => `${job.command}: ordered of ${count(job.total, "node")}`);
    this.setState({ meant: null });
    this.props.again();
  };

  render(_, { target, command, ttl, values, meant, error }) {
    return h(Card, { title: "Send", id: "send" },
      h("form", { class: "settings", onSubmit: this.ask },
        h("div", { class: "field wide" }, h("label", { for: "target" }, "To"),
          h("input", { id: "target", value: target, placeholder: "all nodes; or fan-1, T@site:kiel, G@board:pico* …", spellcheck: false, autocomplete: "off", "aria-invalid": error ? "true" : undefined, onInput: (event) => this.setState({ target: event.target.value, error: "" }) })),
        h("div", { class: "field" }, h("label", { for: "order" }, "What"),
          h("select", { id: "order", value: command, onChange: (event) => this.setState({ command: event.target.value, values: {} }) },
            Object.entries(ORDERS).map(([name, { what }]) => h("option", { key: name, value: name }, what)))),
        ORDERS[command].fields.map(([name, label, first, most]) => h("div", { key: name, class: "field" }, h("label", { for: `order-${name}` }, label),
          h("input", { id: `order-${name}`, type: "number", min: 0, max: most, step: 1, required: true, value: values[name] ?? first, onInput: (event) => this.setState({ values: { ...values, [name]: event.target.value } }) }))),
        h("div", { class: "field" }, h("label", { for: "ttl" }, "Good for"),
          h("select", { id: "ttl", value: ttl, onChange: (event) => this.setState({ ttl: Number(event.target.value) }) }, LIVES.map(([seconds, label]) => h("option", { key: seconds, value: seconds }, label)))),
        h("div", { class: "do" }, h("button", { class: "main" }, "Send …"))),
      error && h("p", { class: "wrong", role: "alert" }, error),
      meant !== null && h(Confirm, {
        title: `${command[0].toUpperCase()}${command.slice(1)} ${count(meant, "node")}?`, yes: "Send", danger: command === "restart",
        text: `${target.trim() || "All nodes"}. Who is away gets it on coming back, for ${LIVES.find(([each]) => each === ttl)[1]}.`,
        no: () => this.setState({ meant: null }), done: this.send,
      }));
  }
}

class Job extends Component {
  toggle = () => {
    if (this.commands) this.commands.stop();
    this.commands = this.commands ? null : new Asked("command.list", { job: this.props.job.job, limit: SHOWN }, 2000, () => this.setState({})).start();
    this.setState({});
  };

  componentWillUnmount() {
    this.commands?.stop();
  }

  render({ job, live, again }) {
    const parts = COUNTS.map(([state, kind]) => ({ kind, state, value: job[state] })).filter((part) => part.value);
    const opened = Boolean(this.commands), commands = this.commands?.data?.commands ?? [];
    const label = [`${number(job.done)} of ${count(job.total, "node")} done`, ...parts.filter((part) => part.state !== "done").map((part) => `${number(part.value)} ${part.state}`)].join(", ");
    const what = `${job.command} to ${job.target === "*" ? "all nodes" : live.byId.get(job.target)?.row.name || job.target}`;
    return h(Card, { title: what, id: `job-${job.job}`, more: h("span", { class: "fine" }, `by ${job.who}, ${ago(live.now() - job.made_ms)} ago`) },
      h(Bar, { parts, total: job.total, label }),
      h("div", { class: "between" },
        h("p", { class: "fine" }, label,
          job.stopped_ms ? "; stopped" : job.waiting ? `; good until ${clock(job.until_ms, live.now())}` : ""),
        h("div", { class: "do" },
          h("button", { class: "bare text", "aria-expanded": String(opened), "aria-label": `${opened ? "Hide nodes" : "Nodes"} of ${what}`, onClick: this.toggle }, opened ? "Hide nodes" : "Nodes"),
          job.waiting > 0 && !job.stopped_ms && live.can("job.stop") && h("button", { "aria-label": `Stop: ${what}`, onClick: () => act("job.stop", { job: job.job }, (told) => `Stopped: ${count(told.cancelled ?? 0, "command")} taken back${told.told ? `; ${number(told.told)} may have it already` : ""}`).then(again) }, "Stop"))),
      opened && h(CommandList, { commands, live, again: () => { this.commands?.again(); again(); }, named: true }),
      opened && job.total > SHOWN && h("p", { class: "fine" }, `The newest ${SHOWN} of ${number(job.total)}.`));
  }
}

// Commands with what became of each; `named`: of several nodes.
export function CommandList({ commands, live, again, named }) {
  return h("ul", { class: "list" }, commands.map((each) => h("li", { key: each.id },
    named ? h("a", { href: `#/nodes/${each.node}` }, each.name || each.node) : h("span", null, each.command),
    h("span", { class: "right" }, h(State, { kind: KINDS[each.state] ?? "idle" }, [each.state, each.reason, each.result && `answer ${each.result}`].filter(Boolean).join(", "))),
    OPEN.has(each.state) && live.can("command.cancel") && h("button", {
      class: "bare text", "aria-label": `Cancel ${each.command} for ${each.name || each.node}`,
      onClick: () => act("command.cancel", { command: each.id }, (told) => told.told ? "Taken back; the node may have it already" : "Taken back").then(again),
    }, "Cancel"))));
}

// What was asked of one node, and the usual things to ask.
export class NodeCommands extends Component {
  componentDidMount() {
    this.commands = new Asked("command.list", { node: this.props.node.id, limit: 8 }, 2000, () => this.setState({})).start();
  }

  componentWillUnmount() {
    this.commands.stop();
  }

  send = (command) => act("command.send", { target: this.props.node.id, command }, this.props.live.state(this.props.node) === "heard" ? `${command}: sent` : `${command}: kept for an hour, until it is heard`).then(() => this.commands.again());

  render({ live, node }) {
    const commands = this.commands?.data?.commands ?? [];
    return h(Card, { title: "Commands", id: "commands" },
      live.can("command.send") && !node.row.revoked && h("div", { class: "do" }, ["identify", "ping", "restart"].map((each) =>
        h("button", { key: each, onClick: () => this.send(each) }, each[0].toUpperCase() + each.slice(1)))),
      this.commands?.error && h("p", { class: "wrong", role: "alert" }, this.commands.error),
      commands.length === 0 ? h("p", { class: "fine" }, "Nothing was asked of it yet.") : h(CommandList, { commands, live, again: () => this.commands.again() }));
  }
}
