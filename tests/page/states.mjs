// An alert from its raising to its end, a job that is stopped, a reader who may only look, a gateway that goes away.
// Told on stdin: { address, token, reader, silent, hostile, shots }. Says "speak", "kill" and "start" where the outer test does so.

import fs from "node:fs";
import { fresh, goTo, launch, logIn, serious, settled, slides, tabTo } from "./browser.mjs";

const told = JSON.parse(fs.readFileSync(0, "utf8"));
const browser = await launch();
const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));

async function look(page, name) {
  await settled(page);
  if (told.shots) await page.screenshot({ path: `${told.shots}/${name}-phone-light.png` });
  const faults = await serious(page);
  if (faults.length || (await slides(page))) throw new Error(`axe-core, ${name}: ${JSON.stringify(faults)}`);
}

async function press(page, selector, text) {
  await tabTo(page, selector, text);
  await page.keyboard.press("Enter");
}

try {
  const page = await fresh(browser, "phone");
  await logIn(page, told.address, told.token);
  await page.waitForSelector(`.needs .warn:has-text("${told.silent}: node silent")`);
  await page.waitForFunction(() => document.title.startsWith("(1)"));
  await press(page, ".needs button", `Acknowledge: ${told.silent}: node silent`);
  await page.waitForSelector(`.card:has(#seen-title):has-text("${told.silent}"):has-text("seen by olga")`);
  await page.waitForFunction(() => !document.title.startsWith("("));
  await page.waitForSelector('h1:has-text("All well")');

  await goTo(page, "Commands");
  await tabTo(page, "#target");
  await page.keyboard.type("nobody-at-all");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.wrong:has-text("means no node")');
  await page.fill("#target", "");
  await page.keyboard.press("Enter");
  await page.waitForSelector('dialog[open]:has-text("Identify 3 nodes?")');
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.keyboard.press("Enter");
  await press(page, "dialog button.main", "Send");
  await page.waitForSelector('.card:has-text("identify seconds=5 to all nodes"):has-text("2 of 3 nodes done, 1 waiting")');
  await look(page, "job");
  await press(page, "button", "Stop: identify");
  await page.waitForSelector('.card:has-text("2 of 3 nodes done, 1 cancelled; stopped")');

  say("speak");
  await goTo(page, "Alerts");
  await page.waitForSelector('.empty:has-text("Nothing is wrong.")');
  await press(page, "button", "Show what is over");
  await page.waitForSelector(`.list li:has-text("${told.silent}: node silent")`);
  await look(page, "over");

  const reader = await fresh(browser, "phone");
  await logIn(reader, told.address, told.reader);
  for (const name of ["Commands", "Guard", "Nodes"]) {
    await goTo(reader, name);
    await look(reader, `reader-${name}`);
    if (await reader.locator("main button:has-text('Send'), main button:has-text('Stop'), main button:has-text('Revoke'), main button:has-text('Forget')").count()) throw new Error(`a reader is offered changes in ${name}`);
  }
  await press(reader, ".rows");
  await reader.waitForSelector(".card:has(#labels-title)");
  await look(reader, "reader-node");
  if (await reader.locator("main button:has-text('Set'), main button:has-text('Ping'), main button:has-text('Change'), main button:has-text('Revoke')").count()) throw new Error("a reader is offered changes of a node");

  await goTo(page, "Nodes");
  await page.evaluate((id) => { location.hash = `#/nodes/${id}`; }, told.hostile.id);
  await page.waitForFunction((board) => document.querySelector("header.node")?.textContent.includes(board), told.hostile.board);
  const images = await page.evaluate(() => [...document.images].map((each) => new URL(each.src).pathname));
  if (images.some((each) => !each.startsWith("/static/"))) throw new Error(`a node's words became a picture: ${images}`);

  say("kill");
  await page.waitForSelector('.banner:has-text("does not answer")');
  await page.waitForSelector('.line:has-text("no connection")');
  await look(page, "lost");
  say("start");
  await page.waitForSelector(".banner", { state: "detached", timeout: 120_000 });
  await page.waitForSelector('.line:has-text("live")');
  const faults = [...page.faults, ...reader.faults];
  if (faults.length) throw new Error(faults.join("\n"));
  say("done");
} catch (error) {
  say("failed", { error: error.message });
  process.exitCode = 1;
} finally {
  await browser.close();
}
