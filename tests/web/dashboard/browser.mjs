// A headless Chromium, and what the tests look at.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { DEADLINE } from "./programs.mjs";

const ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];

/**
 * Opens the page of a server. `options` are those of a browser context, such as `viewport`. An error
 * or a warning in the console fails the test at `close`, and so does a request to another host.
 */
export async function openPage(server, options = {}) {
  const folder = await mkdtemp(join(tmpdir(), "fleet-page-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: "/usr/bin/chromium",
    args: ARGS,
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  context.setDefaultTimeout(DEADLINE);
  const page = context.pages()[0] ?? (await context.newPage());
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (line) => {
    // The browser itself reports each connection that fails, which is the point of some tests.
    const isExpected = line.text().includes("WebSocket connection to") || line.text().includes("Failed to load resource");
    if (["error", "warning"].includes(line.type()) && !isExpected) wrong.push(line.text());
  });
  page.on("request", (request) => {
    if (new URL(request.url()).host !== server.addresses.page) wrong.push(`a request to ${request.url()}`);
  });
  await page.goto(server.url);
  return Object.assign(page, {
    /** The problems so far, which this forgets. */
    takeProblems: () => wrong.splice(0),
    async end() {
      await context.close();
      await rm(folder, { recursive: true, force: true });
      if (wrong.length) throw new Error(wrong.join("\n"));
    },
  });
}

/** The row of a box. */
export const row = (page, id) => page.locator(`#rows tr[data-id="${id}"]`);

/** The text of a row's cell, by its label. */
export const cell = (page, id, label) => row(page, id).locator(`td[data-label="${label}"] .value`);

/** A fact of the open box. */
export const fact = (page, name) => page.locator(`#details [data-fact="${name}"]`);

/** Waits until a text is as wanted. */
export async function waitForText(locator, wanted) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const text = ((await locator.count()) ? await locator.first().textContent() : "(not there)").trim();
    if (wanted instanceof RegExp ? wanted.test(text) : text === wanted) return text;
    if (Date.now() > end) throw new Error(`expected ${wanted}, and it is: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until an attribute differs from this value. */
export async function waitForChange(locator, attribute, before) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const value = await locator.getAttribute(attribute);
    if (value !== before) return value;
    if (Date.now() > end) throw new Error(`${attribute} is still ${before}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
