// One plot of a quantity over time: past from the store, then each report as it comes.

import uPlot from "/static/vendor/uplot.js";
import { Component, h } from "./dom.js";
import { clock, number } from "./format.js";

const LINES = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6"];
const HEIGHT = 220;
const BREAK = 4; // a line is not drawn over a time without readings that is so many times the usual

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// One series of past points and new ones; times in ms.
export class Series {
  constructor({ sensor, quantity, unit, t = [], v = [] }) {
    Object.assign(this, { sensor, quantity, unit, t: [...t], v: [...v] });
  }

  add(ms, value) {
    if (this.t.length && ms <= this.t.at(-1)) return false;
    this.t.push(ms);
    this.v.push(value);
    return true;
  }

  since(ms) {
    let from = 0;
    while (from < this.t.length && this.t[from] < ms) from++;
    if (from) { this.t.splice(0, from); this.v.splice(0, from); }
  }

  get last() { return this.v.at(-1); }

  // [seconds, values] with a hole where nothing was heard for long.
  data() {
    const steps = [];
    for (let at = 1; at < this.t.length; at++) steps.push(this.t[at] - this.t[at - 1]);
    steps.sort((a, b) => a - b);
    const most = Math.max(BREAK * (steps[Math.floor(steps.length / 2)] ?? 0), 3000);
    const t = [], v = [];
    for (let at = 0; at < this.t.length; at++) {
      if (at && this.t[at] - this.t[at - 1] > most) { t.push((this.t[at - 1] + this.t[at]) / 2000); v.push(null); }
      t.push(this.t[at] / 1000);
      v.push(this.v[at]);
    }
    return [t, v];
  }
}

// `series` of one quantity; `marks`: [{ ms, kind, text }]; from `sinceMs` to `untilMs`.
export class Plot extends Component {
  componentDidMount() {
    this.make();
    this.sized = new ResizeObserver(() => this.box && this.plot?.setSize({ width: this.box.clientWidth, height: HEIGHT }));
    this.sized.observe(this.box);
    this.remake = () => this.make();
    addEventListener("themechange", this.remake);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.remake);
  }

  componentWillUnmount() {
    this.sized.disconnect();
    removeEventListener("themechange", this.remake);
    this.scheme.removeEventListener("change", this.remake);
    this.plot?.destroy();
  }

  componentDidUpdate(before) {
    if (before.series.length !== this.props.series.length) this.make();
    else this.draw();
  }

  make() {
    this.plot?.destroy();
    const { series } = this.props, unit = series[0]?.unit ?? "";
    const axis = { stroke: color("--muted"), grid: { stroke: color("--rule"), width: 1 }, ticks: { stroke: color("--rule"), width: 1 }, font: "12px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: this.box.clientWidth, height: HEIGHT, legend: { show: false },
      cursor: { y: false, points: { size: 7 } },
      scales: { x: { time: true, range: () => [this.props.sinceMs / 1000, this.props.untilMs / 1000] }, y: { range: bounds } },
      axes: [
        { ...axis, values: (plot, splits) => splits.map((s) => clock(s * 1000, this.props.untilMs).replace(/:00$/, "")), space: 70 },
        { ...axis, size: 58, values: (plot, splits) => splits.map(number) },
      ],
      series: [{}, ...series.map((each, at) => ({ stroke: color(LINES[at % LINES.length]), width: 2, spanGaps: false, points: { show: false }, label: `${each.sensor} ${unit}` }))],
      hooks: { draw: [(plot) => this.drawMarks(plot)], setCursor: [(plot) => this.point(plot)] },
    }, this.data(), this.box);
  }

  data() {
    const { series } = this.props;
    if (!series.length) return [[], []];
    if (series.length === 1) return series[0].data();
    return uPlot.join(series.map((each) => each.data()), series.map(() => [2, 2]));
  }

  draw() {
    this.plot.setData(this.data());
  }

  point(plot) {
    const at = plot.cursor.idx;
    this.tip.textContent = at === null || at === undefined ? "" :
      [clock(plot.data[0][at] * 1000, this.props.untilMs), ...this.props.series.map((each, place) => {
        const value = plot.data[place + 1]?.[at];
        return value === null || value === undefined ? "" : `${number(value)} ${each.unit}`;
      })].filter(Boolean).join("  ");
  }

  drawMarks(plot) {
    const { ctx } = plot, { top, height } = plot.bbox;
    for (const mark of this.props.marks) {
      const x = Math.round(plot.valToPos(mark.ms / 1000, "x", true));
      if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
      ctx.save();
      ctx.strokeStyle = color({ raised: "--bad", cleared: "--good", gap: "--warn" }[mark.kind]);
      ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      ctx.restore();
    }
  }

  render({ series, label }) {
    const shown = series.filter((each) => each.t.length);
    return h("figure", { class: "plot" },
      h("div", { class: "canvas", role: "img", "aria-label": `${label}: ${shown.map((each) => `sensor ${each.sensor}, now ${number(each.last)} ${each.unit}, ${number(low(each))} to ${number(high(each))}`).join("; ")}`, ref: (box) => { this.box = box; } }),
      h("p", { class: "tip", "aria-hidden": "true", ref: (tip) => { this.tip = tip; } }));
  }
}

export const low = (series) => series.v.reduce((a, b) => Math.min(a, b), Infinity);
export const high = (series) => series.v.reduce((a, b) => Math.max(a, b), -Infinity);
export const lineColor = (at) => LINES[at % LINES.length].slice(2);

// A quiet line stays quiet: at least a twentieth of the value is shown around it, and never less than nothing.
function bounds(plot, low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.1, Math.abs(high) * 0.025, 1e-3);
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}
