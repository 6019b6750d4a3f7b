// Opens a page from disk in a real Chromium and prints, as JSON, what happened there.
//
//   node look.mjs page.html [--width W] [--height H] [--dark] [--shot FILE] [--pdf FILE] [--axe] [--hover] [--texts] [--sort SECTION]
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
    texts: { type: "boolean" }, sort: { type: "string" },
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
// Time of the page's own thread, which other work on this machine does not change.
const clock = await page.context().newCDPSession(page);
await clock.send("Performance.enable", { timeDomain: "threadTicks" });
await page.goto(pathToFileURL(positionals[0]).href);
await page.waitForSelector("html[data-ready]", { state: "attached", timeout: 60000 });
Object.assign(found, await page.evaluate(() => ({
  ready: Number(document.documentElement.dataset.ready),
  drawing: Number(document.documentElement.dataset.drawing),
  chapters: [...document.querySelectorAll("main > section")].map((one) => one.id),
  sections: [...document.querySelectorAll("section.one")].map((one) => one.id),
  empty: [...document.querySelectorAll(".plot")].filter((one) => !one.closest("figure").querySelector(".cameras") && !one.closest("details.fold:not([open])") && !one.querySelector("svg.main-svg")).map((one) => one.id),
  checks: [...document.querySelectorAll(".check .status")].map((one) => one.textContent.trim()),
  text: document.body.innerText,
  overflow: document.documentElement.scrollWidth - innerWidth,
})));
found.busy = (await clock.send("Performance.getMetrics")).metrics.find((one) => one.name === "TaskDuration").value;
found.painted = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint").map((one) => Math.round(one.startTime))[0]);
found.outline = await page.evaluate(() => {
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((one) => Number(one.tagName[1]));
  return {
    twice: ids.filter((one, i) => ids.indexOf(one) !== i),
    dangling: [...document.querySelectorAll('a[href^="#"]')].map((one) => one.getAttribute("href").slice(1)).filter((one) => !ids.includes(one)),
    skipped: levels.filter((one, i) => i && one > levels[i - 1] + 1).length,
    unnamed: [...document.querySelectorAll("img:not([alt]), img[alt='']")].length,
  };
});
// Words that lie on other words, or reach beyond what cuts them off; contrast of words in drawings, which axe leaves out.
const words = () => page.evaluate(() => {
  const seen = (one) => { const box = one.getBoundingClientRect(); return box.width > 1 && box.height > 1 && getComputedStyle(one).visibility !== "hidden"; };
  const said = (one) => one.textContent.trim().slice(0, 40);
  const overlapping = [], cut = [], pale = [];
  const channels = (text) => (/rgba?\(([^)]*)\)/.exec(text) || ["", "0,0,0,0"])[1].split(",").map(Number);
  const bright = (rgb) => rgb.slice(0, 3).map((c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = bright(channels(getComputedStyle(document.body).backgroundColor));
  for (const plot of document.querySelectorAll(".plot")) {
    if (!plot.offsetParent) continue;
    const frame = plot.getBoundingClientRect();
    // Lines of one label are one text; words of a picture's cells lie on colours and are looked at by eye.
    const texts = [...plot.querySelectorAll("svg.main-svg text")].filter((one) => seen(one) && said(one));
    const boxes = texts.map((one) => one.getBoundingClientRect());
    const turned = (one) => /rotate\((?!0[,)])/.test(one.getAttribute("transform") || "");
    texts.forEach((one, i) => {
      const box = boxes[i];
      if (box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2 || box.bottom > frame.bottom + 2) cut.push(`${plot.id}: ${said(one)}`);
      const onPicture = getComputedStyle(one).fill === "rgb(253, 253, 253)"; // written on pictures, which are dark everywhere
      if (!onPicture && !one.closest(".heatmaplayer, .hm, .textpoint")) {
        const light = bright(channels(getComputedStyle(one).fill));
        const contrast = (Math.max(light, paper) + 0.05) / (Math.min(light, paper) + 0.05);
        if (contrast < 4.5) pale.push(`${plot.id}: ${said(one)} (${contrast.toFixed(1)})`);
      }
      if (turned(one)) return; // boxes of turned words are wider than the words
      for (let j = i + 1; j < texts.length; j += 1) {
        if (turned(texts[j]) || one.contains(texts[j])) continue;
        const wide = Math.min(box.right, boxes[j].right) - Math.max(box.left, boxes[j].left);
        const high = Math.min(box.bottom, boxes[j].bottom) - Math.max(box.top, boxes[j].top);
        if (wide > 2 && high > 3) overlapping.push(`${plot.id}: ${said(one)} | ${said(texts[j])}`);
      }
    });
  }
  for (const one of document.querySelectorAll(".check .status")) if (one.scrollWidth > one.clientWidth + 1) cut.push(`status: ${said(one)}`);
  for (const one of document.querySelectorAll("main *, header *, nav *")) {
    if (one.closest("svg, .scroll, .stage, .paper, pre") || !seen(one)) continue;
    const look = getComputedStyle(one);
    if (look.overflowX === "hidden" && one.scrollWidth > one.clientWidth + 1) cut.push(`${one.tagName} ${one.className}: ${said(one)}`);
  }
  return { overlapping, cut, pale };
});
if (values.texts) {
  found.texts = {};
  for (const [name, width, media] of [["1300", 1300, {}], ["dark", 1300, { colorScheme: "dark" }], ["800", 800, { colorScheme: "light" }], ["390", 390, {}], ["print", 1300, { media: "print", colorScheme: "light" }]]) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia(media);
    await page.waitForTimeout(700); // in which the drawings take their new size
    found.texts[name] = await words();
  }
}
if (values.sort) {
  // The heading of the third column, by the keyboard alone.
  found.sorted = [];
  await page.focus(`#${values.sort} th:nth-child(3) .sort`);
  for (let i = 0; i < 2; i += 1) {
    await page.keyboard.press("Enter");
    const cells = await page.$$eval(`#${values.sort} tbody tr`, (rows) => rows.map((row) => row.cells[2].textContent.trim()));
    const rising = [...cells].sort((a, b) => a.localeCompare(b)).join() === cells.join();
    const falling = [...cells].sort((a, b) => b.localeCompare(a)).join() === cells.join();
    found.sorted.push(await page.getAttribute(`#${values.sort} th:nth-child(3)`, "aria-sort") === (i ? "descending" : "ascending") && (i ? falling : rising) ? (i ? "descending" : "ascending") : "unsorted");
  }
}
if (values.hover) {
  found.hovered = [];
  found.space = [];
  for (const plot of await page.$$(".plot")) {
    if (await plot.evaluate((one) => Boolean(one.closest("details.fold:not([open])")))) continue;
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
