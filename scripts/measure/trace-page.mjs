// What the page of a trace costs its reader: node scripts/measure/trace-page.mjs [model] [tokens] [opens] [--keep FILE]
// Writes the page of the first tokens of texts/frankenstein.txt as `kvasir inspect --html` does, opens it in Chromium
// (CHROMIUM names another one than the system's) and clicks its way through every part. Prints one JSON object: `madeS`, the
// seconds to trace the text and write the page; bytes; of each opening in a fresh context `ms` from the request to the first
// picture; of each click `ms` until what it changes is painted; beside both what the page's main thread computed meanwhile
// (`threadMs`), which neighbours on the machine do not change; and whatever the page asked for. After `npm run build`.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { Model } from '../../dist/index.js';
import { tracedOf } from '../../dist/model.js';
import { pageTraceOptions, tracePage } from '../../dist/trace-page/trace-page.js';
import { median } from '../peers/statistics.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values: flags, positionals } = parseArgs({
  options: { keep: { type: 'string' } },
  allowPositionals: true,
});
const [model = 'smollm2-135m', tokens = '64', opens = '5'] = positionals;
const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = process.env.CHROMIUM ?? places.find((path) => existsSync(path));
if (executablePath === undefined) throw new Error('There is no Chromium here: set CHROMIUM.');

/** @returns the seconds that it takes, the model loaded */
async function writePage(path) {
  const book = readFileSync(join(root, 'texts', 'frankenstein.txt'), 'utf8');
  const loaded = await Model.load(model, { device: 'cpu' });
  const ids = loaded.tokenizer.encode(book.slice(0, 20 * Number(tokens))).slice(0, Number(tokens));
  const traced = tracedOf(loaded);
  const began = performance.now();
  const trace = await loaded.trace(Int32Array.from(ids), pageTraceOptions(traced));
  writeFileSync(path, await tracePage({ info: loaded.info, traced }, trace, undefined));
  const seconds = (performance.now() - began) / 1000;
  await loaded.dispose();
  return Number(seconds.toFixed(1));
}

/** In the page: clicks what a selector finds, and waits until that is painted. */
const clickAndPaint = `async (selector, index) => {
  const element = document.querySelectorAll(selector)[index];
  const began = performance.now();
  if (element instanceof HTMLCanvasElement) {
    const box = element.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
    element.dispatchEvent(new MouseEvent('click', at));
  } else element.click();
  await new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(0);
  }));
  return performance.now() - began;
}`;

/** Milliseconds of its processor that the page's main thread has had: what neighbours on the machine do not change. */
async function threadMs(cdp) {
  const { metrics } = await cdp.send('Performance.getMetrics');
  return 1000 * metrics.find(({ name }) => name === 'TaskDuration').value;
}

async function openPage(browser, path, requests) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
  const address = pathToFileURL(path).href;
  page.on('request', (request) => request.url() !== address && requests.push(request.url()));
  const began = performance.now();
  await page.goto(address, { waitUntil: 'commit' });
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  await page.evaluate('new Promise((done) => requestAnimationFrame(() => setTimeout(done)))');
  const ms = performance.now() - began;
  return { context, page, cdp, ms: Math.round(ms), threadMs: Math.round(await threadMs(cdp)) };
}

/** Every part, and in each what can be stepped through and picked. */
async function clickThrough(page, cdp) {
  const clicks = [];
  const click = async (what, selector, index = 0) => {
    if ((await page.locator(selector).count()) <= index) return;
    const before = await threadMs(cdp);
    const ms = await page.evaluate(`(${clickAndPaint})(${JSON.stringify(selector)}, ${index})`);
    clicks.push({ what, ms, threadMs: (await threadMs(cdp)) - before });
  };
  const parts = await page.locator('#parts button').count();
  for (let part = 1; part <= parts; part++) {
    await click(`part ${part}`, `[data-keep="part${part}"]`);
    await click(`part ${part}: next layer`, '[data-keep="layer+"]:not(:disabled)');
    await click(`part ${part}: next head`, '[data-keep="head+"]:not(:disabled)');
    await click(`part ${part}: a cell`, 'figure canvas');
    await click(`part ${part}: a thumbnail`, '.thumbnail', 3);
    await click(`part ${part}: a token`, '.token', 5 + part);
    await click(`part ${part}: a table`, 'figure summary');
  }
  return clicks;
}

const folder = mkdtempSync(join(tmpdir(), 'kvasir-page-'));
const path = flags.keep ?? join(folder, 'page.html');
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
try {
  const madeS = await writePage(path);
  const requests = [];
  const opened = [];
  let clicks = [];
  for (let i = 0; i < Number(opens); i++) {
    const { context, page, cdp, ms, threadMs } = await openPage(browser, path, requests);
    opened.push({ ms, threadMs });
    if (i === 0) clicks = await clickThrough(page, cdp);
    await context.close();
  }
  const slowest = [...clicks].sort((a, b) => b.threadMs - a.threadMs).slice(0, 5);
  const rounded = ({ what, ...times }) => ({
    what,
    ms: Math.round(times.ms),
    threadMs: Math.round(times.threadMs),
  });
  const clicked = {
    count: clicks.length,
    medianMs: Math.round(median(clicks.map(({ ms }) => ms))),
    slowest: slowest.map(rounded),
  };
  const made = { model, tokens: Number(tokens), madeS, bytes: statSync(path).size };
  const report = { ...made, opened, clicks: clicked, requests };
  process.stdout.write(`${JSON.stringify(report)}\n`);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
