// An operator's morning, by the keyboard alone. Told on stdin: { address, token, silent, fan, size, shots }.
// Says a JSON line for each step; ends with status 1 where a step fails.

import fs from "node:fs";
import { fresh, goTo, launch, logIn, serious, slides, tabTo } from "./browser.mjs";

const told = JSON.parse(fs.readFileSync(0, "utf8"));
const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));
const browser = await launch();
const page = await fresh(browser, told.size);
let step = "start";

async function look(name) {
  step = name;
  for (const scheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme: scheme });
    if (told.shots) await page.screenshot({ path: `${told.shots}/${name}-${told.size}-${scheme}.png`, fullPage: true });
    const faults = await serious(page, scheme === "dark");
    if (faults.length) throw new Error(`axe-core, ${scheme}: ${JSON.stringify(faults)}`);
  }
  if (await slides(page)) throw new Error("the view is wider than the window");
  say(name);
}

try {
  await page.goto(told.address);
  await page.waitForSelector("#token:focus");
  await look("door");
  await page.keyboard.type("fieldline_wrong");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.wrong:has-text("not known")');
  await page.fill("#token", "");
  await logIn(page, told.address, told.token);

  await page.waitForSelector(`.needs a:has-text("${told.silent.name}")`);
  await look("overview");

  await goTo(page, "Nodes");
  await page.waitForSelector(".grid .row");
  await look("nodes");
  await tabTo(page, ".chip", "silent");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".grid .row").length === 1);
  await tabTo(page, ".rows");
  await page.keyboard.press("Enter");
  await page.waitForSelector(`h1:has-text("${told.silent.name}")`);
  await page.waitForSelector('.plot .canvas[aria-label*="rpm"] canvas');
  await look("silent-node");
  await tabTo(page, ".chip", "15 min");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.chip[aria-pressed="true"]:has-text("15 min")');

  await goTo(page, "Nodes");
  await page.evaluate((id) => { location.hash = `#/nodes/${id}`; }, told.fan.id);
  await page.waitForSelector(`h1:has-text("${told.fan.name}")`);
  await page.waitForSelector('.plot .canvas[aria-label*="rpm"] canvas');
  await tabTo(page, "#report_ms");
  await page.keyboard.type("1000");
  await page.keyboard.press("Enter");
  await page.waitForSelector('#settings-title ~ [role="status"]:has-text("converged")');
  await look("node");

  await goTo(page, "Guard");
  await page.waitForSelector(`.card.bad:has-text("${told.clone.name}")`);
  await page.waitForSelector(`h2:has-text("Quarantine") >> xpath=../.. >> text=${told.stranger}`);
  await page.waitForSelector('.audit b:has-text("node.set")');
  await look("guard");
  await tabTo(page, ".card.bad button", "Revoke");
  await page.keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  await look("confirm");
  await tabTo(page, "dialog button.danger", "Revoke");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.audit b:has-text("nodes.revoke")');
  await page.waitForSelector(`.card:has(#quarantine-title) li:has-text("revoked"):has-text("${told.clone.name}")`);

  await goTo(page, "Gateway");
  await look("gateway");

  if (page.faults.length) throw new Error(page.faults.join("\n"));
  say("done");
} catch (error) {
  say("failed", { at: step, error: `${error.message}`, faults: page.faults });
  if (told.shots) await page.screenshot({ path: `${told.shots}/failed-${told.size}.png` });
  process.exitCode = 1;
} finally {
  await browser.close();
}
