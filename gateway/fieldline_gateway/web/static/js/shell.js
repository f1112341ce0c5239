// What stands around each view: name, line, navigation; and which view the address names.

import { Component, Icon, State, h } from "./dom.js";
import { ago } from "./format.js";
import { Alerts } from "./views/alerts.js";
import { Commands } from "./views/commands.js";
import { Gateway } from "./views/gateway.js";
import { Guard } from "./views/guard.js";
import { Mesh } from "./views/mesh.js";
import { Node } from "./views/node.js";
import { Nodes } from "./views/nodes.js";
import { Overview } from "./views/overview.js";

const VIEWS = [
  { name: "overview", path: "", title: "Overview", view: Overview },
  { name: "nodes", path: "nodes", title: "Nodes", view: Nodes },
  { name: "mesh", path: "mesh", title: "Mesh", view: Mesh, asks: "mesh.nodes" },
  { name: "alerts", path: "alerts", title: "Alerts", view: Alerts, asks: "alert.list" },
  { name: "commands", path: "commands", title: "Commands", view: Commands, asks: "job.list" },
  { name: "gateway", path: "gateway", title: "Gateway", view: Gateway },
  { name: "guard", path: "guard", title: "Guard", view: Guard },
];

function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, second] = path.split("/");
  const found = VIEWS.find((each) => each.path === first) ?? VIEWS[0];
  return { ...found, id: first === "nodes" && second ? decodeURIComponent(second) : "", query: new URLSearchParams(query) };
}

export class Shell extends Component {
  state = { at: where() };

  componentDidMount() {
    this.moved = () => {
      if (location.hash === "#main") return; // the skip link
      const before = this.state.at, at = where();
      this.setState({ at });
      if (before.name !== at.name || before.id !== at.id) {
        document.getElementById("main")?.focus({ preventScroll: true });
        scrollTo(0, 0);
      }
    };
    addEventListener("hashchange", this.moved);
    this.deaf = this.props.live.listen(() => this.setState({}));
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.setState({});
    this.scheme.addEventListener("change", this.repaint);
    this.beat = setInterval(() => document.hidden || this.setState({}), 1000);
  }

  componentWillUnmount() {
    removeEventListener("hashchange", this.moved);
    this.deaf();
    this.scheme.removeEventListener("change", this.repaint);
    clearInterval(this.beat);
  }

  theme = () => {
    const dark = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = dark;
    try { localStorage.setItem("fieldline-theme", dark); } catch { /* for this visit only */ }
    dispatchEvent(new Event("themechange"));
    this.setState({});
  };

  render({ live, me, leave }, { at }) {
    const name = live.parts.gateway?.name ?? "…";
    const open = live.alerts.filter((alert) => !alert.acknowledged).length;
    document.title = `${open ? `(${open}) ` : ""}${at.title} · ${name} · Fieldline`;
    const View = at.id ? Node : at.view;
    return h("div", { class: `shell ${live.line === "lost" ? "cut" : ""}` },
      h("header", { class: "top" },
        h("a", { class: "brand", href: "#/" }, h("img", { src: "/static/icon.svg", alt: "", width: 28, height: 28 }), h("span", null, name)),
        h(Line, { live }),
        h("span", { class: "grow" }),
        h("span", { class: "who" }, me.name, h("small", null, me.role)),
        h("button", { class: "bare", onClick: this.theme, "aria-label": isDark() ? "Use light colours" : "Use dark colours" },
          h(Icon, { name: isDark() ? "sun" : "moon" })),
        h("button", { class: "bare", onClick: leave, "aria-label": "Log out" }, h(Icon, { name: "out" }))),
      h("nav", { "aria-label": "Views" },
        VIEWS.filter((each) => !each.asks || live.can(each.asks)).map((each) =>
          h("a", { key: each.name, href: `#/${each.path}`, "aria-current": each.name === at.name ? "page" : undefined },
            h(Icon, { name: each.name }), h("span", null, each.title),
            each.name === "alerts" && open > 0 && h("b", { class: "badge" }, open)))),
      h("main", { id: "main", tabindex: -1, key: at.name + at.id },
        live.line === "lost" && h("p", { class: "banner", role: "status" },
          `The gateway does not answer since ${ago(Date.now() - live.lostAt)}. What you see is from before; trying again …`),
        live.parts.gateway
          ? h(View, { live, me, id: at.id, query: at.query })
          : h("p", { class: "loading" }, live.line === "lost" ? "" : "Loading …")),
      h("div", { id: "said", class: "said", role: "status", "aria-live": "polite" }));
  }
}

function Line({ live }) {
  const [kind, text] = { open: ["good", "live"], connecting: ["idle", "connecting"], lost: ["bad", "no connection"] }[live.line] ?? ["idle", ""];
  return h("span", { class: "line" }, h(State, { kind }, text));
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
