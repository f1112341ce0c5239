// Every node as a small tile, the fleet at one glance: its state as colour and shape, how long ago it was heard as
// depth. Drawn on a canvas, as 30,000 elements would be too many; the table of nodes is the same for the keyboard.

import { Component, h } from "./dom.js";
import { ago, called } from "./format.js";

const MOST_ROWS = 14;
const SIZES = [26, 20, 16, 12, 9, 7, 5, 4];

export class FleetMap extends Component {
  componentDidMount() {
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.canvas.parentElement);
    this.again = () => this.draw();
    addEventListener("themechange", this.again);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.again);
    this.draw();
  }

  componentWillUnmount() {
    this.sized.disconnect();
    removeEventListener("themechange", this.again);
    this.scheme.removeEventListener("change", this.again);
  }

  componentDidUpdate() {
    this.draw();
  }

  order() {
    const { live } = this.props;
    if (this.ordered?.length !== live.nodes.length) {
      this.ordered = [...live.nodes].sort((a, b) => called(a.row).localeCompare(called(b.row), "en", { numeric: true }));
    }
    return this.ordered;
  }

  draw() {
    const { live } = this.props, { canvas } = this, nodes = this.order(), width = canvas.parentElement.clientWidth;
    const size = SIZES.find((each) => Math.ceil(nodes.length / Math.floor(width / each)) <= MOST_ROWS) ?? SIZES.at(-1);
    const columns = Math.max(1, Math.floor(width / size)), rows = Math.ceil(nodes.length / columns), scale = devicePixelRatio;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(rows * size * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(rows * size * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${rows * size}px`;
    }
    this.size = size;
    this.columns = columns;
    const style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(name).trim();
    const good = color("--good"), bad = color("--bad"), idle = color("--edge"), ctx = canvas.getContext("2d");
    const gap = size > 8 ? 2 : 1, side = size - gap;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.clearRect(0, 0, width, rows * size);
    nodes.forEach((node, at) => {
      const x = (at % columns) * size, y = Math.floor(at / columns) * size, state = live.state(node);
      if (state === "heard") {
        ctx.globalAlpha = Math.max(0.35, 1 - 0.65 * ((live.now() - node.heard) / live.silentMs(node)));
        ctx.fillStyle = good;
        ctx.fillRect(x, y, side, side);
      } else if (state === "silent") {
        ctx.globalAlpha = 1;
        ctx.fillStyle = bad;
        ctx.beginPath();
        ctx.moveTo(x + side / 2, y);
        ctx.lineTo(x + side, y + side / 2);
        ctx.lineTo(x + side / 2, y + side);
        ctx.lineTo(x, y + side / 2);
        ctx.fill();
      } else {
        ctx.globalAlpha = 1;
        ctx.strokeStyle = idle;
        ctx.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
      }
    });
    ctx.globalAlpha = 1;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / this.size), row = Math.floor((event.clientY - box.top) / this.size);
    return column < this.columns ? this.order()[row * this.columns + column] : undefined;
  }

  point = (event) => {
    const node = this.at(event), { live } = this.props;
    this.tip.textContent = node ? `${called(node.row)}: ${live.state(node)}${node.heard ? `, ${ago(live.now() - node.heard)} ago` : ""}` : "";
    this.canvas.style.cursor = node ? "pointer" : "";
  };

  open = (event) => {
    const node = this.at(event);
    if (node) location.hash = `#/nodes/${node.id}`;
  };

  render({ live }) {
    const counts = live.counts();
    return h("div", { class: "map" },
      h("canvas", {
        role: "img", "aria-label": Object.entries(counts).map(([state, value]) => `${value} ${state}`).join(", "),
        ref: (canvas) => { this.canvas = canvas; }, onClick: this.open, onPointerMove: this.point, onPointerLeave: () => { this.tip.textContent = ""; },
      }),
      h("p", { class: "fine", "aria-hidden": "true", ref: (tip) => { this.tip = tip; } }));
  }
}
