// Runs the page of peer.ts in Node or in Chromium. It reads operations from standard input and
// writes events to standard output, each a JSON object on a line.
import { mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const folder = mkdtempSync(join(tmpdir(), "wsx-web-"));
// The test has ended.
process.stdout.on("error", () => {});
const write = (line) => process.stdout.write(`${line}\n`);
const peer = fileURLToPath(new URL("peer.ts", import.meta.url));
const bundle = async (options) =>
  (await build({ entryPoints: [peer], bundle: true, target: "es2022", write: false, ...options })).outputFiles[0].text;

async function inNode() {
  const { WebSocket } = await import("ws");
  const file = join(folder, "peer.mjs");
  writeFileSync(file, await bundle({ format: "esm" }));
  const { newPage, eventText } = await import(pathToFileURL(file));
  return newPage((event) => write(eventText(event)), WebSocket);
}

async function inChromium() {
  const { chromium } = await import("playwright-core");
  const script = await bundle({ format: "iife", globalName: "peer" });
  const html = `<!doctype html><title>page</title><script>${script.replaceAll("</", "<\\/")}
    globalThis.act = peer.newPage((event) => emit(peer.eventText(event)));</script>`;
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end(html));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  });
  await context.exposeFunction("emit", write);
  let page;
  const open = async () => {
    page = await context.newPage();
    page.on("pageerror", (error) => write(JSON.stringify({ event: "page_error", text: String(error) })));
    await page.goto(url);
  };
  await open();
  /** What only the browser can do. */
  const browser = {
    reload: () => page.reload(),
    new_tab: open,
    offline: ({ offline }) => context.setOffline(offline),
    // The browsers decide themselves which pages they keep, so the events are made here.
    fire_pagehide: () => page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))),
    fire_pageshow: () => page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))),
  };
  const end = async () => {
    await context.close();
    server.close();
  };
  return Object.assign(async (operation) => {
    const own = browser[operation.op];
    if (!own) return page.evaluate((operation) => void act(operation), operation);
    await own(operation);
    write(JSON.stringify({ event: "result", tag: operation.tag, value: null }));
  }, { end });
}

const act = await (process.argv[2] === "chromium" ? inChromium() : inNode());
write(JSON.stringify({ event: "ready" }));
for await (const line of createInterface({ input: process.stdin })) {
  // In the order of the lines. A page that does not answer holds up only its own test.
  const done = act(JSON.parse(line));
  if (act.end) await done;
}
await act.end?.();
// Some processes of a browser end later than it says.
await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
process.exit();
