// An operator's morning, by the keyboard alone. Told on stdin: { address, token, silent, fan, clone, stranger, size, shots }.
// Says a JSON line for each step; ends with status 1 where a step fails.

import fs from "node:fs";
import { fresh, goTo, launch, logIn, settled, serious, slides, tabTo } from "./browser.mjs";

const told = JSON.parse(fs.readFileSync(0, "utf8"));
const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));
const browser = await launch();
const page = await fresh(browser, told.size);
let step = "start";

async function look(name) {
  step = name;
  for (const scheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await settled(page);
    const faults = await serious(page, scheme === "dark");
    if (told.shots) {
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: `${told.shots}/${name}-${told.size}-${scheme}.png`, fullPage: true });
    }
    if (faults.length) throw new Error(`axe-core, ${scheme}: ${JSON.stringify(faults)}`);
  }
  if (await slides(page)) throw new Error("the view is wider than the window");
  say(name);
}

async function press(selector, text) {
  await tabTo(page, selector, text);
  await page.keyboard.press("Enter");
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

  // The gateway's own alert of the node that it does not hear; olga has seen it.
  await page.waitForSelector(`.needs li:has-text("${told.silent.name}: node silent"):has-text("nothing heard for")`);
  await page.waitForSelector(`.needs li:has-text("${told.clone.name} exists twice")`);
  await look("overview");
  await goTo(page, "Alerts");
  await page.waitForSelector(`.alerts li:has-text("${told.silent.name}: node silent")`);
  await look("alerts");
  await press(".alerts button", `Acknowledge: ${told.silent.name}`);
  await page.waitForSelector(`.alerts li:has-text("${told.silent.name}: node silent"):has-text("seen by olga")`);

  await goTo(page, "Nodes");
  await page.waitForSelector(".grid .row");
  await look("nodes");
  await press(".chip", "silent");
  await page.waitForFunction(() => document.querySelectorAll(".grid .row").length === 1);
  await press(".rows");
  await page.waitForSelector(`h1:has-text("${told.silent.name}")`);
  await page.waitForSelector('.plot .canvas[aria-label*="rpm"] canvas');
  await page.waitForSelector('.card:has-text("Alerts"):has-text("seen by olga")');
  await press(".card button", "Ping"); // it is kept for the node until it is heard
  await page.waitForSelector('.card:has(#commands-title) li:has-text("ping"):has-text("queued")');
  await look("silent-node");
  await press(".chip", "15 min");
  await page.waitForSelector('.chip[aria-pressed="true"]:has-text("15 min")');
  await press("button", "Cancel ping");
  await page.waitForSelector('.card:has(#commands-title) li:has-text("cancelled")');

  await goTo(page, "Nodes");
  await page.evaluate((id) => { location.hash = `#/nodes/${id}`; }, told.fan.id);
  await page.waitForSelector(`h1:has-text("${told.fan.name}")`);
  await page.waitForSelector('.plot .canvas[aria-label*="rpm"] canvas');
  await tabTo(page, "#report_ms");
  await page.keyboard.type("1000");
  await page.keyboard.press("Enter");
  await page.waitForSelector('#settings-title ~ [role="status"]:has-text("in force")');
  await press("button", "Change the labels");
  await tabTo(page, "#label-place");
  await page.keyboard.type("hall 2");
  await tabTo(page, "#label-tags");
  await page.keyboard.type("site:kiel line:3");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.card:has(#labels-title):has-text("hall 2") .tag:has-text("site:kiel")');
  await look("node");

  await goTo(page, "Commands");
  await tabTo(page, "#target");
  await page.keyboard.type("T@site:kiel or nobody");
  await page.keyboard.press("Enter");
  await page.waitForSelector('dialog[open]:has-text("Identify 1 node?")');
  await press("dialog button.main", "Send");
  await page.waitForSelector('.card:has-text("identify seconds=5 to T@site:kiel"):has-text("1 of 1 node done")');
  await press("button", "Nodes of identify");
  await page.waitForSelector(`.card li:has-text("${told.fan.name}"):has-text("done")`);
  await look("commands");

  await goTo(page, "Guard");
  await page.waitForSelector(`.card.bad:has-text("${told.clone.name}")`);
  await page.waitForSelector(`.card:has(#quarantine-title) li:has-text("${told.stranger}"):has-text("not enrolled")`);
  await page.waitForSelector('.audit b:has-text("node.set")');
  await page.waitForSelector('.card:has(#limits-title):has-text("messages a second")');
  await look("guard");
  await press(".card.bad button", "Revoke");
  await page.waitForSelector("dialog[open]");
  await look("confirm");
  await press("dialog button.danger", "Revoke");
  await page.waitForSelector('.audit b:has-text("nodes.revoke")');
  await page.waitForSelector(`.card:has(#quarantine-title) li:has-text("revoked"):has-text("${told.clone.name}")`);
  await press(".card.bad button", "It is over");
  await page.waitForSelector("#clones-title", { state: "detached" });

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
