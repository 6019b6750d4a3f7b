// Opens a page from disk in a real Chromium and prints, as JSON, what happened there.
//
//   node look.mjs page.html [--width W] [--height H] [--dark] [--shot FILE] [--pdf FILE] [--axe] [--hover]
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    width: { type: "string", default: "1400" }, height: { type: "string", default: "900" }, dark: { type: "boolean" },
    shot: { type: "string" }, pdf: { type: "string" }, axe: { type: "boolean" }, hover: { type: "boolean" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});

const browser = await chromium.launch({
  executablePath: values.browser,
  args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
});
const page = await browser.newPage({
  viewport: { width: Number(values.width), height: Number(values.height) },
  colorScheme: values.dark ? "dark" : "light",
  bypassCSP: false,
});
const found = { console: [], warnings: [], requests: [], dialogs: 0 };
page.on("console", (message) => {
  if (message.type() === "error") found.console.push(message.text());
  if (message.type() === "warning") found.warnings.push(message.text());
});
page.on("pageerror", (error) => found.console.push(String(error)));
page.on("dialog", (dialog) => { found.dialogs += 1; dialog.dismiss(); });
page.on("request", (request) => { if (!/^(file|data|blob):/.test(request.url())) found.requests.push(request.url()); });
await page.goto(pathToFileURL(positionals[0]).href);
await page.waitForSelector("html[data-ready]", { state: "attached", timeout: 60000 });
Object.assign(found, await page.evaluate(() => ({
  ready: Number(document.documentElement.dataset.ready),
  drawing: Number(document.documentElement.dataset.drawing),
  chapters: [...document.querySelectorAll("main > section")].map((one) => one.id),
  sections: [...document.querySelectorAll("section.one")].map((one) => one.id),
  empty: [...document.querySelectorAll(".plot")].filter((one) => !one.closest("figure").querySelector(".cameras") && !one.querySelector("svg.main-svg")).map((one) => one.id),
  checks: [...document.querySelectorAll(".check .status")].map((one) => one.textContent.trim()),
  text: document.body.innerText,
  overflow: document.documentElement.scrollWidth - innerWidth,
})));
if (values.hover) {
  found.hovered = [];
  found.space = [];
  for (const plot of await page.$$(".plot")) {
    await plot.scrollIntoViewIfNeeded();
    await page.waitForTimeout(150);
    const id = await plot.getAttribute("id");
    const layer = await plot.$(".cartesianlayer .drag.nsewdrag, .draglayer .nsewdrag");
    const label = await page.evaluate((name) => {
      const div = document.getElementById(name);
      if (div._fullLayout && div._fullLayout.scene) return null;
      const trace = div.data.findIndex((one) => one.hoverinfo !== "skip");
      if (trace < 0) return ""; // pictures and windows say what they are in words
      Plotly.Fx.hover(div, [{ curveNumber: trace, pointNumber: div.data[trace].type === "heatmap" ? [0, 1] : 0 }]);
      return [...div.querySelectorAll(".hovertext text")].map((one) => one.textContent).join(" ");
    }, id);
    if (label !== null) { if (layer && label) found.hovered.push(id); continue; }
    await page.waitForSelector(`#${id} canvas`, { state: "attached", timeout: 30000 });
    await page.waitForTimeout(1500);
    const seen = await page.evaluate((name) => {
      const scene = document.getElementById(name)._fullLayout.scene._scene;
      const image = document.createElement("canvas");
      const canvas = document.getElementById(name).querySelector("canvas");
      image.width = canvas.width; image.height = canvas.height;
      scene.glplot.redraw(); // so that what is drawn is still there when it is read
      const context = image.getContext("2d", { willReadFrequently: true });
      context.drawImage(canvas, 0, 0);
      const pixels = context.getImageData(0, 0, image.width, image.height).data;
      const colours = new Set();
      for (let i = 0; i < pixels.length; i += 4) colours.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
      return { colours: colours.size, camera: JSON.stringify(scene.getCamera().eye) };
    }, id);
    const box = await plot.boundingBox();
    await page.mouse.move(box.x + box.width / 4, box.y + box.height / 2); // two spaces stand side by side
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 4 + 120, box.y + box.height / 2 + 40, { steps: 8 });
    await page.mouse.up();
    await page.waitForTimeout(400);
    const eyes = await page.evaluate((name) => {
      const layout = document.getElementById(name)._fullLayout;
      return Object.keys(layout).filter((key) => /^scene\d*$/.test(key)).map((key) => JSON.stringify(layout[key]._scene.getCamera().eye));
    }, id);
    found.space.push({ id, colours: seen.colours, turned: eyes[0] !== seen.camera, together: new Set(eyes).size === 1, spaces: eyes.length });
  }
}
if (values.axe) {
  // The page's policy forbids what evaluates text; the debugger may.
  const debug = await page.context().newCDPSession(page);
  const run = (expression) => debug.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  await run(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const report = (await run("axe.run(document, { resultTypes: ['violations'] })")).result.value;
  found.axe = report.violations.map((one) => ({ id: one.id, impact: one.impact, help: one.help, nodes: one.nodes.slice(0, 5).map((node) => node.html.slice(0, 200)) }));
}
if (values.shot) {
  // Screen after screen: a whole page at once is more than a browser can hold in one picture.
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.addStyleTag({ content: "html { scroll-behavior: auto !important; }" });
  for (let y = 0, i = 0; y < height; y += Number(values.height), i += 1) {
    await page.evaluate((top) => scrollTo(0, top), y);
    await page.waitForTimeout(250);
    await page.screenshot({ path: values.shot.replace("#", String(i).padStart(2, "0")) });
  }
}
if (values.pdf) await page.pdf({ path: values.pdf, format: "A4" });
await browser.close();
console.log(JSON.stringify(found));
