// Where each node of the mesh stands in the picture: the gateway on top, a band for each count of hops beneath, those
// that are not heard last. The same nodes and links always give the same picture; nothing here draws.

const LABELLED = 40; // nodes up to which there is room for names and shares
const CELL = { true: { width: 96, height: 86 }, false: { width: 32, height: 32 } };
const WIDEST = 1.5; // cells, between two nodes of a row with few
const TITLE = 30; // px above a band, for what it says
const TOP = 44; // the gateway's middle
export const LOST = "lost", NEVER = "never heard";

// The band that a node is in: hops as it usually is heard, so that one odd heartbeat moves nothing.
export const bandOf = (node) => (node.lost ? LOST : node.usual_hops ?? (node.heard_s === null ? NEVER : 1));

// Shares by sender and receiver; `of` gives the poorer way of a link, null where neither is known.
export class Shares {
  constructor(links) {
    this.all = new Map(links.map((link) => [`${link.from} ${link.to}`, link]));
    this.around = new Map();
    for (const { from, to } of links) {
      this.near(from).add(to);
      this.near(to).add(from);
    }
  }

  near(address) {
    if (!this.around.has(address)) this.around.set(address, new Set());
    return this.around.get(address);
  }

  heard(from, to) {
    return this.all.get(`${from} ${to}`)?.heard ?? null;
  }

  of(one, other) {
    const known = [this.heard(one, other), this.heard(other, one)].filter((share) => share !== null);
    return known.length ? Math.min(...known) : null;
  }
}

// { places: address -> { node, x, y, row }, bands: [{ name, y, count }], ways: [{ from, to, share }], width, height, labels }
export function layout(nodes, shares, gateway, width) {
  const labels = nodes.length <= LABELLED, cell = CELL[labels];
  const places = new Map([[gateway, { x: width / 2, y: TOP, row: -1, at: 0 }]]);
  const bands = [], ways = [];
  let y = TOP + (labels ? 34 : 24), row = 0;
  for (const [name, members] of grouped(nodes)) {
    for (const node of members) {
      const best = wayUp(node, name, nodes, shares, gateway);
      if (best) ways.push({ from: node.address, to: best, share: shares.of(node.address, best) });
    }
    const up = new Map(ways.map((way) => [way.from, places.get(way.to)?.at ?? Infinity]));
    members.sort((a, b) => (up.get(a.address) ?? Infinity) - (up.get(b.address) ?? Infinity) || (a.address < b.address ? -1 : 1));
    bands.push({ name, y: y + TITLE / 2, count: members.length });
    y += TITLE;
    const rows = Math.ceil(members.length / Math.max(1, Math.floor(width / cell.width)));
    const each = Math.ceil(members.length / rows);
    for (let from = 0; from < members.length; from += each, row++) {
      const line = members.slice(from, from + each), step = Math.min(width / each, cell.width * WIDEST);
      line.forEach((node, at) => places.set(node.address, {
        node, row, at: from + at, x: width / 2 + (at - (line.length - 1) / 2) * step, y: y + cell.height / 2 - (labels ? 14 : 0),
      }));
      y += cell.height;
    }
  }
  return { places, bands, ways, width, height: Math.max(y + 8, TOP + 40), labels };
}

function grouped(nodes) {
  const found = new Map();
  for (const node of nodes) {
    const band = bandOf(node);
    if (!found.has(band)) found.set(band, []);
    found.get(band).push(node);
  }
  const order = (band) => (typeof band === "number" ? band : band === LOST ? 1e6 : 1e7);
  return [...found].sort(([a], [b]) => order(a) - order(b));
}

// Who is likely to carry what a node says: the best link to a relay one hop nearer; null where none is known.
function wayUp(node, band, nodes, shares, gateway) {
  if (band === 1) return gateway;
  if (typeof band !== "number") return null;
  let best = null, most = -1;
  for (const other of nodes) {
    const share = bandOf(other) === band - 1 ? shares.of(node.address, other.address) : null;
    if (share !== null && share + (other.relay ? 1 : 0) > most) [best, most] = [other.address, share + (other.relay ? 1 : 0)];
  }
  return best;
}

// The place to which an arrow key leads from another: in the row before or after, the nearest.
export function next(places, address, key) {
  const all = [...places].filter(([, place]) => place.node), at = all.findIndex(([name]) => name === address);
  if (!all.length) return null;
  if (at < 0 || key === "Home") return all[0][0];
  if (key === "End") return all.at(-1)[0];
  if (key === "ArrowRight" || key === "ArrowLeft") return all[Math.max(0, Math.min(all.length - 1, at + (key === "ArrowRight" ? 1 : -1)))][0];
  const here = all[at][1], row = here.row + (key === "ArrowDown" ? 1 : -1);
  const near = all.filter(([, place]) => place.row === row).sort((a, b) => Math.abs(a[1].x - here.x) - Math.abs(b[1].x - here.x));
  return near.length ? near[0][0] : address;
}
