// The mesh on the page: a real one of four nodes that the gateway sets, one of them lost; then made-up answers of 0, 8,
// 100 and 300 nodes, to see that the picture holds. Told on stdin: { address, token, names, shots }. Says "off" where
// the outer test switches the last node off.

import fs from "node:fs";
import { SIZES, fresh, goTo, launch, logIn, serious, settled, slides, tabTo } from "./browser.mjs";

const told = JSON.parse(fs.readFileSync(0, "utf8"));
const browser = await launch();
const say = (step, more = {}) => console.log(JSON.stringify({ step, ...more }));

async function look(page, name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await settled(page);
    for (const fullPage of told.shots ? [true, false] : []) await page.screenshot({ path: `${told.shots}/mesh-${name}-${scheme}${fullPage ? "" : "-seen"}.png`, fullPage });
    const faults = await serious(page, scheme === "dark");
    if (faults.length) throw new Error(`axe-core, ${name}, ${scheme}: ${JSON.stringify(faults)}`);
  }
  if (await slides(page)) throw new Error(`${name}: the page slides sideways`);
}

const spots = (page) => page.$$eval(".meshmap .place", (all) => all.map((each) => `${each.id} ${each.getAttribute("transform")}`));

// A made-up mesh: each node's way up is the node a third of its number before it.
function madeUp(size) {
  const address = (at) => (0x100 + at).toString(16).padStart(4, "0"), hops = [];
  const nodes = Array.from({ length: size }, (_, at) => {
    hops.push(at < 6 ? 1 : hops[Math.floor(at / 3) - 1] + 1);
    const lost = size > 20 && at % 37 === 36, never = size > 20 && at % 53 === 52;
    return {
      address: address(at), node: "", heard_s: never ? null : at % 60, lost, hops: lost || never ? null : hops[at], usual_hops: lost || never ? null : hops[at],
      features: [], ttl: hops[at] + 1, relay: at % 4 === 0 && at % 7 !== 6, relay_wanted: at % 4 === 0 && at % 7 !== 6, relay_mode: "auto", low_power: at % 7 === 6, friend: at % 14 === 6 ? "0100" : null, open: at % 29 === 28 ? ["ttl"] : [], error: "",
      hears: 4, messages_in: at, messages_out: 1,
    };
  });
  const links = nodes.flatMap((node, at) => {
    const up = at < 6 ? "0001" : address(Math.floor(at / 3) - 1);
    return [{ from: node.address, to: up, heard: 0.6 + (at % 40) / 100, ...(up === "0001" && { rssi: -60 - at }) }, { from: up, to: node.address, heard: 0.9 }];
  });
  return { nodes, links: { ways: [{ link: "bridge /dev/ttyACM0", open: true }], links, gateway: "0001" } };
}

async function real(page) {
  await goTo(page, "Mesh");
  await page.waitForSelector('h1:has-text("Mesh 4 nodes")');
  await page.waitForFunction(() => document.querySelectorAll(".meshmap .dot.good").length === 4, null, { timeout: 60_000 });
  await page.waitForSelector('.meshmap [role="group"][aria-label="2 hops: 2 nodes"]', { timeout: 60_000 });
  await page.waitForSelector('.meshmap [role="option"][aria-label="fan-1: well, 1 hop, relay"]');
  await page.waitForFunction(() => document.querySelectorAll(".meshmap line.way").length === 4, null, { timeout: 60_000 });
  const before = await spots(page);
  await tabTo(page, ".meshmap");
  for (const [key, name] of [["ArrowDown", "fan-1"], ["ArrowRight", "fan-2"], ["End", "fan-4"], ["ArrowUp", ""], ["Home", "fan-1"]]) {
    await page.keyboard.press(key);
    if (name) await page.waitForSelector(`.meshmap .chosen[aria-label^="${name}:"]`);
  }
  await page.waitForSelector('.card:has(#mesh-node-title:has-text("fan-1")) dd:has-text("0100")');
  await page.waitForSelector('.card:has(#mesh-node-title) dt:has-text("Signal at the bridge") + dd:has-text("-61 dBm")');
  await page.waitForSelector(`.card:has(#mesh-node-title) a[href="#/nodes/${told.names["fan-1"]}"]`);
  await page.waitForSelector('.card:has(#mesh-node-title) th:has-text("gateway")');
  await page.keyboard.press("Escape");
  await page.waitForSelector('.card:has(#mesh-node-title):has-text("Choose a node")');
  await page.click("#mesh-0101");
  await page.waitForSelector('#mesh-node-title:has-text("fan-2")');
  await tabTo(page, ".meshtable button", "fan-4");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.meshmap .chosen[aria-label^="fan-4:"]');
  await look(page, "real-phone");
  const after = await spots(page);
  if (before.join() !== after.join()) throw new Error(`the picture moved: ${before} to ${after}`);
  say("off");
  await page.waitForSelector('.meshmap [role="group"][aria-label="lost: 1 node"] [aria-label="fan-4: lost"]', { timeout: 60_000 });
  await page.waitForSelector('.lead:has-text("1 lost")');
  await page.waitForSelector('.meshtable tr:has-text("fan-4"):has-text("lost")');
}

async function sizes(page) {
  let mesh = madeUp(0);
  await page.route("**/api/mesh.nodes", (route) => route.fulfill({ json: { result: mesh.nodes } }));
  await page.route("**/api/mesh.links", (route) => route.fulfill({ json: { result: mesh.links } }));
  for (const size of told.shots ? [0, 8, 100, 300] : [0, 300]) {
    mesh = madeUp(size);
    for (const [name, viewport] of Object.entries(SIZES)) {
      await page.setViewportSize(viewport);
      await goTo(page, "Overview");
      await goTo(page, "Mesh");
      await page.waitForSelector(size ? ".meshmap .place" : '.empty:has-text("No node is in the mesh yet.")');
      const found = await spots(page);
      if (found.length !== size || new Set(found.map((each) => each.split(" ").slice(1).join())).size !== size) throw new Error(`${size} nodes: ${found.length} are drawn, or two in one place`);
      if (size > 8) await page.click("#mesh-0106");
      const hidden = size > 8 && await page.evaluate(() => document.getElementById("mesh-0106").getBoundingClientRect().bottom > (innerWidth < 960 ? document.querySelector(".closer").getBoundingClientRect().top : innerHeight));
      if (hidden) throw new Error(`${size} nodes, ${name}: the chosen node is covered by what is known of it`);
      if (size > 8) await page.waitForSelector('.closer dt:has-text("Sleeps; its friend") + dd:has-text("0100")');
      if (told.shots || (size === 300 && name === "desktop")) await look(page, `${size}-${name}`);
      else if (await slides(page)) throw new Error(`${size} nodes, ${name}: the page slides sideways`);
    }
  }
}

try {
  const page = await fresh(browser, "phone");
  await logIn(page, told.address, told.token);
  await real(page);
  await sizes(page);
  if (page.faults.length) throw new Error(page.faults.join("\n"));
  say("done");
} catch (error) {
  const labels = await browser.contexts()[0].pages()[0].$$eval(".meshmap [aria-label]", (all) => all.map((each) => each.getAttribute("aria-label")));
  say("failed", { error: error.message.slice(0, 300), labels: labels.slice(-5) });
  process.exitCode = 1;
} finally {
  await browser.close();
}
