// The Bluetooth mesh as a picture, one node of it closer, and the same as a table.

import { Asked } from "../asked.js";
import { Card, Component, Empty, State, h } from "../dom.js";
import { ago, called, count, number } from "../format.js";
import { LOST, NEVER, Shares, bandOf, layout, next } from "../meshmap.js";

const NODES_MS = 2000;
const LINKS_MS = 10_000; // who hears whom is told each few minutes
const ALL_LINES = 150; // links up to which all are drawn; beyond, those of the chosen node
const NARROW = matchMedia("(max-width: 959px)"); // as in app.css
const BAR = 60; // px, of the line on top
const MOST_STOPS = 40; // rows up to which Tab stops at each; beyond, the keyboard chooses in the picture
const GOOD = 0.8; // as the choice of relays takes a link for good
const KEYS = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"]);

const percent = (share) => (share === null ? "?" : `${Math.round(100 * share)} %`);

// [kind, word] of a node's state.
function stateOf(node) {
  if (node.lost) return ["bad", "lost"];
  if (node.heard_s === null) return ["idle", "never heard"];
  return node.open.length ? ["warn", "not all set yet"] : ["good", "well"];
}

const carries = (node) => node.relay && !node.lost && node.heard_s !== null;

function relays(node) {
  const said = node.relay === null ? "not known" : node.relay ? "yes" : "no";
  const change = node.relay !== null && node.relay !== node.relay_wanted ? `, to be ${node.relay_wanted ? "on" : "off"}` : "";
  return `${said}${change}${node.relay_mode === "auto" ? "" : `, told ${node.relay_mode}`}`;
}

const bandName = (band) => (typeof band === "number" ? count(band, "hop") : band);

export class Mesh extends Component {
  state = { chosen: "", width: 0 };

  componentDidMount() {
    this.nodes = new Asked("mesh.nodes", {}, NODES_MS, this.changed).start();
    this.links = new Asked("mesh.links", {}, LINKS_MS, this.changed).start();
  }

  componentWillUnmount() {
    this.nodes.stop();
    this.links.stop();
    this.sized?.disconnect();
  }

  changed = () => {
    if (this.links.data && this.links.data !== this.from) {
      this.from = this.links.data;
      this.shares = new Shares(this.links.data.links);
    }
    this.setState({});
  };

  box = (box) => {
    this.sized?.disconnect();
    if (!box) return;
    this.sized = new ResizeObserver(() => {
      if (box.clientWidth !== this.state.width) this.setState({ width: box.clientWidth });
    });
    this.sized.observe(box);
  };

  name(node) {
    const known = this.props.live.byId.get(node.node);
    return known ? called(known.row) : node.node || node.address;
  }

  choose = (chosen) => this.setState({ chosen: chosen === this.state.chosen ? "" : chosen });

  // Chosen in the picture: on a phone what is known of the node covers the lower part, so the node is kept above it.
  pick = (chosen) => this.setState({ chosen }, () => {
    const place = document.getElementById(`mesh-${chosen}`)?.getBoundingClientRect(), low = innerHeight * 0.5;
    if (place && NARROW.matches && (place.bottom > low || place.top < BAR)) scrollBy({ top: place.bottom - low });
  });

  render({ live }, { chosen, width }) {
    const nodes = this.nodes?.data, told = this.links?.data, error = this.nodes?.error || this.links?.error;
    if (!nodes || !told) return h("div", { class: "view" }, h("h1", null, "Mesh"), h("p", { class: error ? "wrong" : "loading" }, error || "Loading …"));
    const open = told.ways.filter((way) => way.open), closed = told.ways.filter((way) => !way.open && !way.link.startsWith("mesh:"));
    const lost = nodes.filter((node) => node.lost).length, relaying = nodes.filter(carries).length;
    const picked = nodes.find((node) => node.address === chosen);
    const far = Math.max(0, ...nodes.map(bandOf).filter(Number.isFinite));
    return h("div", { class: "view" },
      h("h1", null, "Mesh ", h("small", null, count(nodes.length, "node"))),
      h("p", { class: "lead" },
        h(State, { kind: open.length ? "good" : "bad" }, open.length ? `${count(open.length, "way")} in` : "no way in is open"),
        lost > 0 && h(State, { kind: "bad" }, `${number(lost)} lost`),
        nodes.length > 0 && h("span", null, `${count(relaying, "relay", "relays")}, at most ${count(far, "hop")}`)),
      error && h("p", { class: "wrong", role: "status" }, error),
      closed.map((way) => h("p", { key: way.link, class: "banner" }, `${way.link}: ${way.error || "closed"}`)),
      nodes.length === 0
        ? h(Card, null, h(Empty, { title: "No node is in the mesh yet." }, h("p", null, "See who waits: ", h("code", null, "fieldline mesh provision")), h("p", null, "Or give one its keys by the jig: ", h("code", null, "fieldline mesh add NODE"))))
        : h("div", { class: "mesh" },
          h(Card, { title: "Picture", id: "mesh-picture", more: h(Legend) },
            h("div", { ref: this.box, class: "scroll" }, width > 0 && h(Picture, {
              nodes, shares: this.shares, gateway: told.gateway, width, chosen, pick: this.pick, name: (node) => this.name(node),
            })),
            h("p", { class: "fine" }, "Lines: the way to the gateway that is likely, with the share of adverts that is heard; dashed below 80 %. Who hears whom is asked of each node some minutes after it came.")),
          h(Closer, { node: picked, nodes, shares: this.shares, gateway: told.gateway, live, links: told.links, name: (node) => this.name(node), choose: this.choose })),
      nodes.length > 0 && h(Table, { nodes, links: told.links, gateway: told.gateway, name: (node) => this.name(node), chosen, choose: this.choose }));
  }
}

const Legend = () => h("ul", { class: "legend mesh-legend", "aria-label": "What the marks mean" },
  [["good", "well"], ["relay", "relays"], ["sleeps", "sleeps"], ["warn", "not all set"], ["bad", "lost"], ["idle", "never heard"]].map(([kind, word]) =>
    h("li", { key: kind }, h("svg", { width: 22, height: 22, viewBox: "-11 -11 22 22", "aria-hidden": "true" }, h(Mark, { kind: kind === "relay" || kind === "sleeps" ? "good" : kind, relay: kind === "relay", sleeps: kind === "sleeps", size: 6 })), word)));

// A mark of a node: its shape says its state, a ring around it that it relays, a moon that it sleeps (low power).
function Mark({ kind, relay, sleeps, size }) {
  const s = size;
  return h("g", { class: `dot ${kind}` },
    relay && h("circle", { class: "ring", r: s + 4 }),
    kind === "bad" ? h("path", { d: `M0 ${-s - 1}L${s + 1} 0L0 ${s + 1}L${-s - 1} 0Z` }) :
      kind === "warn" ? h("path", { d: `M0 ${-s - 1}L${s + 1} ${s}L${-s - 1} ${s}Z` }) :
        sleeps && kind === "good" ? h("path", { d: `M${s * 0.4} ${-s}A${s} ${s} 0 1 0 ${s} ${s * 0.6}A${s * 0.9} ${s * 0.9} 0 0 1 ${s * 0.4} ${-s}Z` }) :
          h("circle", { r: kind === "idle" ? s - 1 : s }));
}

function Picture({ nodes, shares, gateway, width, chosen, pick, name }) {
  const drawn = layout(nodes, shares, gateway, width), { places } = drawn, size = drawn.labels ? 9 : 7;
  const ways = new Set(drawn.ways.map((way) => `${way.from} ${way.to}`));
  const others = [];
  for (const [one, around] of shares.around) {
    for (const other of around) {
      const known = one < other && places.has(one) && places.has(other) && !ways.has(`${one} ${other}`) && !ways.has(`${other} ${one}`);
      if (known && (shares.all.size <= ALL_LINES || one === chosen || other === chosen)) others.push([one, other]);
    }
  }
  const line = (from, to, kind) => {
    const share = shares.of(from, to), a = places.get(from), b = places.get(to), mine = from === chosen || to === chosen;
    return h("line", { key: `${from}-${to}`, class: `${kind} ${share === null || share < GOOD ? "poor" : ""} ${mine ? "mine" : ""}`, x1: a.x, y1: a.y, x2: b.x, y2: b.y });
  };
  const key = (event) => {
    if (KEYS.has(event.key)) {
      event.preventDefault();
      pick(next(places, chosen, event.key));
    } else if (event.key === "Escape") pick("");
  };
  const bands = drawn.bands.map((band) => ({ ...band, members: [...places].filter(([, place]) => place.node && bandOf(place.node) === band.name) }));
  return h("div", {
    class: "meshmap", role: "listbox", tabindex: 0, "aria-label": "Nodes of the mesh, by hops from the gateway: arrows move, Escape leaves",
    "aria-activedescendant": places.get(chosen)?.node ? `mesh-${chosen}` : undefined, onKeyDown: key,
  },
    h("svg", { width, height: drawn.height, viewBox: `0 0 ${width} ${drawn.height}`, role: "presentation" },
      h("g", { class: `lines ${places.get(chosen)?.node && !drawn.labels ? "faint" : ""}`, "aria-hidden": "true" }, others.map(([from, to]) => line(from, to, "other")), drawn.ways.map((way) => line(way.from, way.to, "way"))),
      h("g", { class: "gate", transform: `translate(${places.get(gateway).x} ${places.get(gateway).y})`, "aria-hidden": "true" },
        h("rect", { x: -15, y: -12, width: 30, height: 24, rx: 6 }), h("text", { y: -18 }, "gateway")),
      bands.map((band) => h("g", { key: band.name, role: "group", "aria-label": `${bandName(band.name)}: ${count(band.count, "node")}` },
        h("text", { class: "band", x: 4, y: band.y, "aria-hidden": "true" }, `${bandName(band.name)}${drawn.labels ? "" : ` · ${number(band.count)}`}`),
        band.members.map(([address, { node, x, y }]) => {
          const [kind, word] = stateOf(node);
          return h("g", {
            key: address, id: `mesh-${address}`, role: "option", "aria-selected": address === chosen ? "true" : "false", class: `place ${address === chosen ? "chosen" : ""}`,
            "aria-label": `${name(node)}: ${word}${typeof band.name === "number" ? `, ${bandName(band.name)}` : ""}${carries(node) ? ", relay" : ""}${node.low_power ? ", sleeps" : ""}`,
            transform: `translate(${x} ${y})`, onClick: () => pick(address === chosen ? "" : address),
          },
            h("title", null, `${name(node)} (${address}), ${word}`),
            h("circle", { class: "catch", r: drawn.labels ? 26 : 15 }),
            h(Mark, { kind, relay: carries(node), sleeps: node.low_power, size }),
            drawn.labels && h("text", { y: 28, class: "name" }, short(name(node))));
        }))),
      drawn.labels && h("g", { class: "shares", "aria-hidden": "true" }, drawn.ways.map((way) => {
        const a = places.get(way.from), b = places.get(way.to);
        return way.share !== null && h("text", { key: way.from, x: a.x + (b.x - a.x) * 0.36, y: a.y + (b.y - a.y) * 0.36 + 4 }, percent(way.share));
      }))));
}

const short = (name) => (name.length > 12 ? `${name.slice(0, 11)}…` : name);

// What is known of the chosen node.
function Closer({ node, nodes, shares, gateway, live, links, name, choose }) {
  if (!node) return h(Card, { title: "Closer", id: "mesh-node" }, h("p", { class: "fine" }, "Choose a node in the picture or the table: by a click, or with the arrow keys."));
  const [kind, word] = stateOf(node), known = live.byId.get(node.node), byAddress = new Map(nodes.map((each) => [each.address, each]));
  const signal = links.find((link) => link.from === node.address && link.rssi !== undefined)?.rssi;
  const around = [...shares.near(node.address)].sort((a, b) => (shares.of(node.address, b) ?? 0) - (shares.of(node.address, a) ?? 0) || (a < b ? -1 : 1));
  const facts = [
    ["Address", node.address],
    ["Heard", node.heard_s === null ? "never" : `${ago(node.heard_s * 1000)} ago`],
    ["Hops", node.lost || node.hops === null ? "–" : node.hops === node.usual_hops ? node.hops : `${node.hops}, usually ${node.usual_hops}`],
    ["Relays", relays(node)],
    ["TTL", node.ttl ?? "not known"],
    signal !== undefined && ["Signal at the bridge", `${signal} dBm`],
    node.low_power && ["Sleeps; its friend", node.friend === null ? "not known" : node.friend === gateway ? "gateway" : byAddress.has(node.friend) ? name(byAddress.get(node.friend)) : node.friend],
    node.features.length > 0 && ["Features in use", node.features.join(", ")],
    ["Messages", `${number(node.messages_in)} in, ${number(node.messages_out)} out`],
    node.open.length > 0 && ["To be set", node.error || `${node.open[0]}${node.open.length > 1 ? ` and ${node.open.length - 1} more` : ""}`],
  ].filter(Boolean);
  return h(Card, { title: name(node), id: "mesh-node", tone: "closer", more: h("button", { class: "bare text", onClick: () => choose(node.address) }, "Close") },
    h("p", { "aria-live": "polite" }, h(State, { kind }, word), known && h("span", null, " · ", h("a", { href: `#/nodes/${node.node}` }, "its readings"))),
    h("dl", { class: "facts" }, facts.flatMap(([what, value]) => [h("dt", { key: what }, what), h("dd", { key: `${what}-v` }, value)])),
    around.length === 0 ? h("p", { class: "fine" }, "It has not told yet whom it hears.") :
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Whom it hears" }, h("table", null,
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "neighbour"), h("th", { scope: "col" }, "hears it"), h("th", { scope: "col" }, "is heard"))),
        h("tbody", null, around.map((other) => h("tr", { key: other },
          h("th", { scope: "row" }, other === gateway ? "gateway" : byAddress.has(other) ? name(byAddress.get(other)) : other),
          h(Share, { value: shares.heard(node.address, other) }), h(Share, { value: shares.heard(other, node.address) })))))));
}

const Share = ({ value }) => h("td", { class: value !== null && value < GOOD ? "warn" : "" }, percent(value));

function Table({ nodes, links, gateway, name, chosen, choose }) {
  const signals = new Map(links.filter((link) => link.rssi !== undefined && link.to === gateway).map((link) => [link.from, link.rssi]));
  return h(Card, { title: "The same as a table", id: "mesh-table" },
    h("div", { class: "scroll meshtable", tabindex: 0, role: "region", "aria-labelledby": "mesh-table-title" }, h("table", null,
      h("thead", null, h("tr", null, ["node", "address", "state", "hops", "relays", "heard", "hears", "dBm"].map((title) => h("th", { key: title, scope: "col" }, title)))),
      h("tbody", null, nodes.map((node) => {
        const [kind, word] = stateOf(node);
        return h("tr", { key: node.address, class: node.address === chosen ? "current" : "" },
          h("th", { scope: "row" }, h("button", { class: "bare text", tabindex: nodes.length > MOST_STOPS ? -1 : 0, "aria-pressed": node.address === chosen ? "true" : "false", onClick: () => choose(node.address) }, name(node))),
          h("td", null, node.address), h("td", null, h(State, { kind }, word)),
          h("td", null, typeof bandOf(node) === "number" ? node.hops ?? "?" : "–"), h("td", null, node.relay === null ? "?" : node.relay ? "yes" : "no"),
          h("td", null, node.heard_s === null ? "never" : `${ago(node.heard_s * 1000)} ago`),
          h("td", null, node.hears === null ? "?" : count(node.hears, "other")), h("td", null, signals.get(node.address) ?? ""));
      })))));
}
