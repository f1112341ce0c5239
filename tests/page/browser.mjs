// Debian's Chromium by playwright-core, and what the walks through the page share.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const AXE = fs.readFileSync(path.join(ROOT, "node_modules/axe-core/axe.min.js"), "utf8");
const CHROMIUM = process.env.FIELDLINE_CHROMIUM ?? "/usr/bin/chromium";
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
export const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };
const TABS = 120; // more than any view has places for the focus

export const launch = () => chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS });

// A page whose faults fail the walk: errors of scripts, and what its own security policy refused.
export async function fresh(browser, size) {
  const context = await browser.newContext({ viewport: SIZES[size], hasTouch: size === "phone" });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000); // a machine may be busy
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`${error.message} ${error.stack}`));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused/.test(message.text())) page.faults.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(http:\/\/127\.0\.0\.1:|data:)/.test(request.url())) page.faults.push(`asked for ${request.url()}`);
  });
  return page;
}

// The focus moves by Tab until it is on what matches; the walk fails where the keyboard does not get there.
export async function tabTo(page, selector, text = "") {
  for (let at = 0; at < TABS; at++) {
    const there = await page.evaluate(([wanted, words]) => {
      const focus = document.activeElement;
      return focus !== null && focus.matches(wanted) && (focus.textContent + (focus.getAttribute("aria-label") ?? "")).includes(words);
    }, [selector, text]);
    if (there) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not reach ${selector} ${text}`);
}

export async function logIn(page, address, token) {
  await page.goto(address);
  await page.waitForSelector("#token:focus");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".headline");
}

export async function goTo(page, name) {
  await tabTo(page, "nav a", name);
  await page.keyboard.press("Enter");
  await page.waitForSelector(`nav a[aria-current]:has-text("${name}")`);
}

// Whatever moves has come to its end: axe-core would measure a contrast midway.
export const settled = (page) => page.evaluate(async () => {
  const moving = document.getAnimations().filter((each) => Number.isFinite(each.effect.getComputedTiming().endTime));
  await Promise.allSettled(moving.map((each) => each.finished));
});

const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

// What axe-core finds that is serious: [{ rule, where }]; `colours`: of contrast alone, all else is the same in the dark.
// In a window as high as the page: a target half behind the bar at the window's edge is no small one, as the page can be moved.
export async function serious(page, colours = false) {
  const size = page.viewportSize();
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width: size.width, height: Math.max(size.height, height) });
  try {
    return await measured(page, colours);
  } finally {
    await page.setViewportSize(size);
  }
}

async function measured(page, colours) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const found = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules, resultTypes: ["violations"] }), colours ? ["color-contrast"] : TAGS);
  return found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => ({ rule: each.id, where: each.nodes.map((node) => `${node.target} ${node.failureSummary}`).slice(0, 3) }));
}

// Whether the view is wider than the window, which a phone would show as a page that slides.
export const slides = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1);
