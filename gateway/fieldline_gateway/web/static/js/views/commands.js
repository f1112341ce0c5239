// Commands to many nodes and how far they are: one job a line, with what became of its nodes.

import { act, Asked } from "../asked.js";
import { Bar, Card, Component, Empty, h } from "../dom.js";
import { ago, count, number } from "../format.js";

const KINDS = { done: "good", taken: "accent", sent: "accent", waiting: "idle", rejected: "bad", failed: "bad", expired: "off", cancelled: "off" };
const OPEN = ["waiting", "sent", "taken"];

export class Commands extends Component {
  componentDidMount() {
    this.jobs = new Asked("job.list", {}, 2000, () => this.setState({})).start();
  }

  componentWillUnmount() {
    this.jobs.stop();
  }

  render({ live }) {
    const jobs = [...(this.jobs?.data?.jobs ?? [])].sort((a, b) => b.added_ms - a.added_ms);
    return h("div", { class: "view" }, h("h1", null, "Commands"),
      this.jobs?.error && h("p", { class: "wrong", role: "alert" }, this.jobs.error),
      this.jobs?.data && jobs.length === 0 && h(Empty, { title: "No command was sent yet." }, h("p", null, "In a terminal: ", h("code", null, "fieldline fleet send"))),
      jobs.map((job) => h(Job, { key: job.id, job, live, again: () => this.jobs.again() })));
  }
}

function Job({ job, live, again }) {
  const parts = Object.entries(job.counts).map(([state, value]) => ({ kind: KINDS[state] ?? "idle", state, value }));
  const open = parts.filter((part) => OPEN.includes(part.state)).reduce((sum, part) => sum + part.value, 0);
  const label = parts.filter((part) => part.value).map((part) => `${number(part.value)} ${part.state}`).join(", ");
  return h(Card, { title: `${job.code} to ${job.target}`, id: `job-${job.id}`, more: h("span", { class: "fine" }, `by ${job.by}, ${ago(live.now() - job.added_ms)} ago`) },
    h(Bar, { parts, total: job.nodes, label }),
    h("p", { class: "fine" }, `${count(job.nodes, "node")}: ${label}${job.stopped_ms ? "; stopped" : open ? `; until ${new Date(job.until_ms).toLocaleTimeString()}` : "; over"}`),
    open > 0 && !job.stopped_ms && live.can("job.stop") && h("div", { class: "do" },
      h("button", { "aria-label": `Stop: ${job.code} to ${job.target}`, onClick: () => act("job.stop", { job: job.id }, "Stopped; who has it already goes on").then(again) }, "Stop")));
}
