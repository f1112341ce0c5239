// What the page shows when the gateway goes away, alerts, commands. Told on stdin: { address, token, shots }.
// Alerts and jobs are this walk's own answers in the form that docs/alerts.md and the fleet's operations have: the page's side alone is tried here.

import fs from "node:fs";
import { fresh, goTo, launch, logIn, serious, slides, tabTo } from "./browser.mjs";

const told = JSON.parse(fs.readFileSync(0, "utf8"));
const browser = await launch();
const now = Date.now();
const alert = (id, severity, text, more = {}) => ({
  id, kind: "node-silent", severity, subject: "f1ee000000000001", name: "fan-1", text, raised_ms: now - 720_000, cleared_ms: null,
  changed_ms: now, times: 2, latched: false, acknowledged: null, evidence: {}, ...more,
});

try {
  const page = await fresh(browser, "phone");
  let open = [alert(1, "critical", "nothing heard for 12 minutes"), alert(2, "warning", "the store is 82 % full", { kind: "store-full", subject: "hall-3", name: "", latched: true })];
  await page.route("**/me", async (route) => {
    let answer;
    try {
      answer = await route.fetch();
    } catch {
      return route.abort(); // the gateway is away
    }
    const me = await answer.json();
    await route.fulfill({ response: answer, json: { ...me, operations: [...(me.operations ?? []), "alert.list", "alert.acknowledge", "alert.clear", "job.list", "job.stop"] } });
  });
  await page.route("**/api/alert.*", async (route) => {
    const asked = route.request().postDataJSON(), what = route.request().url().split("alert.")[1];
    const seen = { by: "olga", via: "page", at_ms: now, note: "" };
    if (what === "acknowledge") open = open.map((each) => ((asked.ids ?? [asked.id]).includes(each.id) ? { ...each, acknowledged: seen } : each));
    if (what === "clear") open = open.filter((each) => each.id !== asked.id);
    const over = { ...alert(3, "warning", "it was away"), cleared_ms: now - 60_000 };
    await route.fulfill({ json: { result: { alerts: asked.open === false ? [...open, over] : open, open: open.length, unacknowledged: 0, acknowledged: [], cleared: true } } });
  });
  let job = { id: 4, target: "T@site:kiel", code: "restart", argument: "", by: "olga", added_ms: now - 60_000, until_ms: now + 60_000, stopped_ms: null, nodes: 100, counts: { done: 60, waiting: 30, failed: 10 } };
  await page.route("**/api/job.*", async (route) => {
    if (route.request().url().endsWith("stop")) job = { ...job, stopped_ms: now, counts: { done: 60, cancelled: 30, failed: 10 } };
    await route.fulfill({ json: { result: { jobs: [job] } } });
  });
  await logIn(page, told.address, told.token);
  await page.waitForSelector('.needs .bad:has-text("fan-1: node silent")');
  await page.waitForFunction(() => document.title.startsWith("(2)"));
  await goTo(page, "Alerts");
  for (const scheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme: scheme });
    if (told.shots) await page.screenshot({ path: `${told.shots}/alerts-phone-${scheme}.png` });
    const faults = await serious(page);
    if (faults.length || (await slides(page))) throw new Error(`axe-core, ${scheme}: ${JSON.stringify(faults)}`);
  }
  await tabTo(page, ".alerts button", "Acknowledge: fan-1");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.alerts li:has-text("fan-1"):has-text("seen by olga")');
  await tabTo(page, ".alerts button", "Clear: hall-3");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".alerts > li").length === 1);
  await tabTo(page, "button", "Show what is over");
  await page.keyboard.press("Enter");
  await page.waitForSelector('text=it was away');

  await goTo(page, "Commands");
  await page.waitForSelector('.card:has-text("restart to T@site:kiel"):has-text("60 done, 30 waiting, 10 failed")');
  if (told.shots) await page.screenshot({ path: `${told.shots}/commands-phone-light.png` });
  const wrong = await serious(page);
  if (wrong.length || (await slides(page))) throw new Error(`axe-core, commands: ${JSON.stringify(wrong)}`);
  await tabTo(page, "button", "Stop: restart");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.card:has-text("stopped")');

  console.log(JSON.stringify({ step: "kill" }));
  await page.waitForSelector('.banner:has-text("does not answer")');
  await page.waitForSelector('.line:has-text("no connection")');
  if (told.shots) await page.screenshot({ path: `${told.shots}/lost-phone-light.png` });
  const faults = await serious(page);
  if (faults.length) throw new Error(`axe-core, lost: ${JSON.stringify(faults)}`);
  console.log(JSON.stringify({ step: "start" }));
  await page.waitForSelector(".banner", { state: "detached", timeout: 40_000 });
  await page.waitForSelector('.line:has-text("live")');
  if (page.faults.length) throw new Error(page.faults.join("\n"));
  console.log(JSON.stringify({ step: "done" }));
} catch (error) {
  console.log(JSON.stringify({ step: "failed", error: error.message }));
  process.exitCode = 1;
} finally {
  await browser.close();
}
