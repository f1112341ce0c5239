// Preact's h and what several views are made of.

import { Component, Fragment, h, render } from "/static/vendor/preact.js";

export { Component, Fragment, h, render };

const PATHS = {
  overview: "M3 13h8V3H3zm0 8h8v-6H3zm10 0h8V11h-8zm0-18v6h8V3z",
  nodes: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM5.6 5.6l1.4 1.4a7 7 0 0 0 0 10l-1.4 1.4a9 9 0 0 1 0-12.8zm12.8 0a9 9 0 0 1 0 12.8L17 17a7 7 0 0 0 0-10z",
  mesh: "M12 2a3 3 0 0 0-1 5.8V10L6.9 14.3a3 3 0 1 0 1.5 1.4L12 12l3.6 3.7a3 3 0 1 0 1.5-1.4L13 10V7.8A3 3 0 0 0 12 2z",
  alerts: "M12 22a2.2 2.2 0 0 0 2.2-2h-4.4a2.2 2.2 0 0 0 2.2 2zm7-6V11a7 7 0 0 0-5.5-6.8V3.5a1.5 1.5 0 0 0-3 0v.7A7 7 0 0 0 5 11v5l-2 2v1h18v-1z",
  commands: "M4 5h16v14H4zm2.5 3.5L9.6 12l-3.1 3.5 1.4 1.2L12 12 7.9 7.3zM12 15v2h6v-2z",
  gateway: "M4 4h16v6H4zm0 10h16v6H4zm3-8v2h2V6zm0 10v2h2v-2z",
  guard: "M12 2 4 5v6c0 5 3.4 9.4 8 11 4.6-1.6 8-6 8-11V5zm-1 14-4-4 1.4-1.4L11 13.2l5.6-5.6L18 9z",
  back: "M15.5 4.5 8 12l7.5 7.5 1.4-1.4-6-6.1 6-6.1z",
  sun: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10zm-1-6h2v3h-2zm0 19h2v3h-2zM1 11h3v2H1zm19 0h3v2h-3zM4.2 2.8l2.1 2.1-1.4 1.4-2.1-2.1zm14.9 14.9 2.1 2.1-1.4 1.4-2.1-2.1zM2.8 19.8l2.1-2.1 1.4 1.4-2.1 2.1zM17.7 4.9l2.1-2.1 1.4 1.4-2.1 2.1z",
  moon: "M20 15.3A9 9 0 0 1 8.7 4a9 9 0 1 0 11.3 11.3z",
  out: "M5 3h8v2H7v14h6v2H5zm11 5 5 4-5 4v-3H10v-2h6z",
};

export const Icon = ({ name }) =>
  h("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: PATHS[name] }));

// A state in words with a mark of its own shape, so that no one needs to tell colours apart.
export const State = ({ kind, children }) =>
  h("span", { class: `state ${kind}` }, h("span", { class: "mark", "aria-hidden": "true" }), children);

export const Card = ({ title, more, tone, children, id }) =>
  h("section", { class: `card ${tone ?? ""}`, "aria-labelledby": id && `${id}-title` },
    title && h("header", null, h("h2", { id: id && `${id}-title` }, title), more),
    children);

export const Empty = ({ title, children }) => h("div", { class: "empty" }, h("p", { class: "what" }, title), children);

export const Simulated = () => h("span", { class: "tag simulated", title: "an emulated board: no real sensor" }, "simulated");

// A bar of parts, each { kind, value, label }.
export const Bar = ({ parts, total, label }) =>
  h("div", { class: "bar", role: "img", "aria-label": label },
    parts.filter((part) => part.value > 0).map((part) =>
      h("span", { key: part.state ?? part.kind, class: part.kind, style: { width: `${(100 * part.value) / Math.max(total, 1)}%` } })));

// Says something to a screen reader, and shows it for some seconds.
export function say(text, kind = "done") {
  const box = document.getElementById("said");
  if (!box) return;
  box.textContent = text;
  box.className = `said ${kind} shown`;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { box.className = "said"; box.textContent = ""; }, kind === "failed" ? 8000 : 4000);
}
