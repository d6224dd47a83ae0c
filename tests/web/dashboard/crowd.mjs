// 500 boxes. The page handles every message, and paints the rows in sight and a few others.
import assert from "node:assert/strict";
import { cell, openPage, waitForText } from "./browser.mjs";
import { playBox, startServer } from "./programs.mjs";

const BOXES = 500;
/** Messages of the server with new samples of all boxes. */
const ROUNDS = 12;
/** Rows that a message may paint: 24 in a window with its margins, and 50 of the others. */
const AT_MOST = 80;

export async function crowd() {
  const server = await startServer();
  const boxes = [];
  for (let at = 0; at < BOXES; at += 1) boxes.push(await playBox(server, `site-${at % 10}-${at}`));
  const page = await openPage(server);
  await waitForText(page.locator("#summary"), "500 of 500 boxes online");
  await page.evaluate(() => {
    globalThis.seen = { updates: [], long: [], frames: [] };
    new PerformanceObserver((list) => {
      for (const { name, detail } of list.getEntries()) if (name === "fleet-update") seen.updates.push(detail);
    }).observe({ type: "mark" });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.long.push(duration);
    }).observe({ type: "longtask" });
    let before = performance.now();
    const frame = (now) => {
      seen.frames.push(now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  for (let round = 1; round <= ROUNDS; round += 1) {
    boxes.forEach((box) => box.report(round));
    await waitForText(cell(page, "site-0-0", "CPU"), `${round}%`);
  }
  // Rows that were never in sight have values, for screen readers, and the newest ones in sight.
  await waitForText(cell(page, "site-9-499", "CPU"), /^\d+%$/);
  await page.locator("#rows tr").last().scrollIntoViewIfNeeded();
  await waitForText(cell(page, "site-9-499", "CPU"), `${ROUNDS}%`);

  const { updates, long, frames } = await page.evaluate(() => seen);
  const handled = updates.reduce((sum, { boxes }) => sum + boxes, 0);
  const most = Math.max(...updates.map(({ painted }) => painted));
  const slow = frames.filter((frame) => frame > 50).length;
  console.log(
    `500 boxes: ${updates.length} messages with ${handled} samples, at most ${most} rows painted for one; ` +
      `${long.length} tasks over 50 ms, the longest ${Math.max(0, ...long).toFixed()} ms; ` +
      `${slow} of ${frames.length} frames over 50 ms, the longest ${Math.max(...frames).toFixed()} ms`,
  );
  assert(handled >= BOXES * ROUNDS, `${handled} samples were handled`);
  assert(updates.length <= 3 * ROUNDS, `${updates.length} messages: they are not batched`);
  assert(most > 0 && most <= AT_MOST, `${most} rows were painted for one message`);
  assert.equal(await page.locator("#rows tr").count(), BOXES);
  await page.getByRole("button", { name: "site-3 50", exact: true }).click();
  await waitForText(page.locator("#shown"), "50 of 500 boxes");
  await page.end();
}
