// What needs somebody now, the worst first: { key, tone, what, why, href }.

import { ago, called, count, number } from "./format.js";
import { title } from "./views/alerts.js";

export function attention(live) {
  const found = [];
  const { store, sinks, links } = live.parts, { alerts, quarantine, clones } = live;
  if (store.held) found.push({ key: "held", tone: "bad", what: "The store takes nothing", why: `${store.held}: nodes keep their readings and wait`, href: "#/gateway" });
  const settled = new Set(alerts.filter((alert) => alert.kind === "clone" && alert.acknowledged).map((alert) => alert.subject));
  for (const clone of clones) {
    if (settled.has(clone.node)) continue;
    found.push({ key: `clone-${clone.node}`, tone: "bad", what: `${clone.name || clone.node} exists twice`, why: clone.why, href: "#/guard", alert: alerts.find((alert) => alert.kind === "clone" && alert.subject === clone.node) });
  }
  const seen = new Set(alerts.filter((alert) => alert.acknowledged).map((alert) => alert.subject));
  const told = new Set(clones.map((clone) => clone.node));
  for (const alert of alerts) {
    if (alert.acknowledged || (alert.kind.includes("clone") && told.has(alert.subject))) continue;
    told.add(alert.subject);
    found.push({ key: `alert-${alert.id}`, tone: alert.severity === "critical" ? "bad" : "warn", what: title(alert, live), why: alert.text, href: "#/alerts", alert });
  }
  for (const sink of sinks) {
    if (!sink.connected && !told.has(sink.sink)) found.push({ key: `sink-${sink.sink}`, tone: "bad", what: `Sink ${sink.sink} is not connected`, why: `${sink.last_error || sink.broker}; ${number(sink.lag)} records wait in the store`, href: "#/gateway" });
    if (sink.dead_letters) found.push({ key: `dead-${sink.sink}`, tone: "warn", what: `${count(sink.dead_letters, "message")} refused by ${sink.broker}`, why: `kept in ${sink.dead_letters_file}`, href: "#/gateway" });
  }
  const waiting = quarantine.filter((each) => each.why !== "revoked").length; // the revoked are meant to be there
  if (waiting) found.push({ key: "quarantine", tone: "warn", what: `${count(waiting, "device")} in quarantine`, why: "not enrolled, or under a wrong key: look who they are", href: "#/guard" });
  const silent = live.nodes.filter((node) => live.state(node) === "silent" && !told.has(node.id) && !seen.has(node.id));
  if (silent.length === 1) found.push({ key: "silent", tone: "warn", what: `${called(silent[0].row)} is silent`, why: `last heard ${ago(live.now() - silent[0].heard)} ago`, href: `#/nodes/${silent[0].id}` });
  else if (silent.length) found.push({ key: "silent", tone: "warn", what: `${number(silent.length)} nodes are silent`, why: "not heard for longer than they should", href: "#/nodes?state=silent" });
  for (const link of links) {
    if (!link.open) found.push({ key: `link-${link.link}`, tone: "warn", what: `Link ${link.link} is closed`, why: link.error || "its cable is out", href: "#/gateway" });
  }
  return found.sort((a, b) => (a.tone === "bad" ? 0 : 1) - (b.tone === "bad" ? 0 : 1));
}
