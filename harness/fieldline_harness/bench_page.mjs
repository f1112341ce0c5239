// How fast the page of a gateway is in Chromium. Told on stdin: { address, token, empty, chromium, modules, seconds }.
// Says one JSON object: times in ms. `empty`: the address of an empty page, the reference in the same browser.

import fs from "node:fs";
import { createRequire } from "node:module";

const told = JSON.parse(fs.readFileSync(0, "utf8"));
const { chromium } = createRequire(`${told.modules}/`)("playwright-core");
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const RUNS = 5;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const browser = await chromium.launch({ executablePath: told.chromium, headless: true, args: ARGS });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const page = await context.newPage();

// Until the first row of nodes is painted; from the start of the navigation.
async function ready(address, wanted) {
  await page.goto("about:blank");
  const began = performance.now();
  await page.goto(address, { waitUntil: "commit" });
  await page.waitForFunction(wanted, null, { polling: "raf" });
  return performance.now() - began;
}

await page.goto(told.address);
await page.fill("#token", told.token);
await page.keyboard.press("Enter");
await page.waitForSelector(".headline");

const empty = [], full = [];
for (let at = 0; at < RUNS; at++) {
  empty.push(await ready(told.empty, () => document.getElementById("here") !== null));
  full.push(await ready(`${told.address}/#/nodes`, () => document.querySelectorAll(".grid .row .value b").length > 5));
}

// Updates: the longest frames and tasks while events come, on the table and with its rows moving.
await page.evaluate(() => {
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((each) => each.duration))).observe({ type: "longtask" });
  window.frames = [];
  let last = performance.now();
  const frame = (now) => { window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  window.moves = [];
  new PerformanceObserver((list) => window.moves.push(...list.getEntries().map((each) => each.duration))).observe({ type: "measure" });
});
await page.waitForTimeout(told.seconds * 1000);
const seen = await page.evaluate(() => ({ tasks: window.tasks, frames: window.frames, moves: window.moves }));
await page.goto(told.empty);
await page.evaluate(() => {
  window.frames = [];
  let last = performance.now();
  const frame = (now) => { window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
});
await page.waitForTimeout(Math.min(told.seconds, 3) * 1000);
const idle = await page.evaluate(() => window.frames);
await browser.close();

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
console.log(JSON.stringify({
  ready: median(full), ready_worst: Math.max(...full), empty: median(empty),
  update: median(seen.moves), update_worst: Math.max(...seen.moves), updates: seen.moves.length,
  frame_p99: quantile(seen.frames, 0.99), frame_worst: Math.max(...seen.frames), empty_frame_p99: quantile(idle, 0.99),
  long_tasks: seen.tasks.length, long_task_worst: Math.max(0, ...seen.tasks),
}));
