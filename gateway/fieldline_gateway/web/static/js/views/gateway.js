// The gateway itself: links in, store, sinks out, what was refused.

import { Bar, Card, Empty, State, h } from "../dom.js";
import { ago, bytes, clock, number } from "../format.js";

const HIDDEN = new Set(["link", "open", "error"]);
const words = (name) => name.replaceAll("_", " ");

export function Gateway({ live }) {
  const { gateway, store, sinks, links, refused } = live.parts, now = live.now();
  return h("div", { class: "view" },
    h("h1", null, gateway.name, " ", h("small", null, `Fieldline ${gateway.version}, up ${ago(now - gateway.started_ms)}, run ${gateway.run}`)),
    h("div", { class: "cards wide" },
      h(Card, { title: "Links", id: "links" },
        links.length === 0 && h(Empty, { title: "No link was ever open." }, h("p", null, "Plug in a node; ports in [serial] of the configuration name where.")),
        h("ul", { class: "list" }, links.map((link) =>
          h("li", { key: link.link, class: "stack" },
            h("div", null, h(State, { kind: link.open ? "good" : "bad" }, link.link), h("span", { class: "right" }, link.open ? "open" : link.error || "closed")),
            h("p", { class: "fine" }, Object.entries(link).filter(([key, value]) => !HIDDEN.has(key) && value).map(([key, value]) => `${words(key)} ${typeof value === "number" ? number(value) : value}`).join(" · ")))))),
      h(Card, { title: "Store", id: "store", more: store.held && h(State, { kind: "bad" }, `held: ${store.held}`) },
        h("p", { class: "big" }, bytes(store.bytes), h("small", null, ` of ${bytes(store.max_bytes)}`)),
        h(Bar, {
          parts: Object.entries(store.classes).map(([name, each]) => ({ kind: name, value: each.bytes })), total: store.max_bytes,
          label: Object.entries(store.classes).map(([name, each]) => `${name} ${bytes(each.bytes)}`).join(", "),
        }),
        h("div", { class: "scroll" }, h("table", null,
          h("thead", null, h("tr", null, ["class", "records", "bytes", "oldest"].map((title) => h("th", { key: title, scope: "col" }, title)))),
          h("tbody", null, Object.entries(store.classes).map(([name, each]) =>
            h("tr", { key: name }, h("th", { scope: "row" }, h("span", { class: `swatch ${name}`, "aria-hidden": "true" }), name),
              h("td", null, number(each.newest - each.oldest + 1)), h("td", null, bytes(each.bytes)),
              h("td", null, each.oldest_ms ? h("span", { title: clock(each.oldest_ms, now) }, `${ago(now - each.oldest_ms)} old`) : "–")))))),
        Object.keys(store.counters).length > 0 && h("p", { class: "fine" }, Object.entries(store.counters).map(([name, value]) => `${words(name)} ${number(value)}`).join(" · "))),
      h(Card, { title: "Sinks", id: "all-sinks" },
        h("ul", { class: "list" }, sinks.map((sink) => h("li", { key: sink.sink, class: "stack" },
          h("div", null, h(State, { kind: sink.connected ? "good" : "bad" }, sink.sink), h("span", { class: "right" }, sink.lag ? `${number(sink.lag)} records behind` : "up to date")),
          h("p", { class: "fine" }, [
            sink.broker, sink.connected ? `MQTT ${sink.protocol}` : `not connected: ${sink.last_error || "trying"}`, `${number(sink.delivered)} delivered`,
            sink.in_flight && `${number(sink.in_flight)} in flight`, sink.backlog && `${number(sink.backlog)} of an outage wait`,
            sink.dead_letters && `${number(sink.dead_letters)} refused for good, in ${sink.dead_letters_file}`,
          ].filter(Boolean).join(" · ")))))),
      h(Card, { title: "Refused messages", id: "refused" },
        Object.keys(refused).length === 0 ? h("p", null, "None in this run.") :
          h("dl", { class: "facts" }, Object.entries(refused).sort((a, b) => b[1] - a[1]).flatMap(([reason, times]) => [h("dt", { key: reason }, words(reason).replaceAll("-", " ")), h("dd", { key: `${reason}-n` }, number(times))])))));
}
