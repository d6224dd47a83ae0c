// What the page shows of boxes and of its server, as they come and go.
import assert from "node:assert/strict";
import { cell, fact, openPage, row, waitForChange, waitForText } from "./browser.mjs";
import { playBox, startBox, startServer } from "./programs.mjs";

/** Real values appear, and change without a reload. */
export async function values() {
  const server = await startServer();
  startBox(server, "north-1");
  const played = await playBox(server, "north-2", null);
  played.report(7);
  const page = await openPage(server);
  await waitForText(page.locator("#summary"), "2 of 2 boxes online");
  await waitForText(cell(page, "north-1", "CPU"), /^\d+%$/);
  await waitForText(cell(page, "north-1", "Memory"), /^[1-9]\d*%$/);
  await waitForText(cell(page, "north-1", "Received per s"), /^\d.* [KM]?B$/);
  await waitForText(cell(page, "north-1", "Latency"), /^\d.* (µs|ms)$/);
  await waitForText(cell(page, "north-1", "Version"), "v1");
  await waitForText(cell(page, "north-2", "CPU"), "7%");
  await waitForText(cell(page, "north-2", "Outbox"), "7");
  await waitForText(cell(page, "north-2", "Version"), "–");
  const line = row(page, "north-1").locator("path");
  const before = await line.getAttribute("d");
  await waitForChange(line, "d", before);
  played.report(93);
  await waitForText(cell(page, "north-2", "CPU"), "93%");
  await waitForText(cell(page, "north-2", "Received per s"), /[1-9]/);

  await page.getByRole("link", { name: "north-1" }).click();
  await waitForText(fact(page, "version"), "v1, as the server");
  const charts = page.locator("#details .chart");
  assert.equal(await charts.count(), 4);
  for (let at = 0; at < 4; at += 1) {
    const chart = charts.nth(at).locator(".line").first();
    await waitForChange(chart, "d", await chart.getAttribute("d"));
    assert.match(await chart.getAttribute("d"), /^[ML][\d.]+ [\d.]+(L|M)/);
  }
  await waitForText(charts.first().locator(".now"), /^\d+%$/);
  await page.end();
}

/** A box that is killed is shown as absent, with the reason and without its old values. */
export async function absence() {
  const server = await startServer();
  const box = startBox(server, "south-1");
  const page = await openPage(server);
  await waitForText(cell(page, "south-1", "CPU"), /^\d+%$/);
  await box.kill();
  await waitForText(row(page, "south-1").locator(".is"), "away");
  await waitForText(row(page, "south-1").locator(".since"), /^since \d\d:\d\d$/);
  await waitForText(cell(page, "south-1", "CPU"), "–");
  await waitForText(page.locator("#summary"), "0 of 1 box online");
  await waitForText(page.locator("#said"), "south-1 is away.");
  await waitForText(page.locator("#notice-list li").first(), /south-1 is away, /);

  // A notice waits in the mailbox, until the box is back and has handled it.
  await page.getByRole("link", { name: "south-1" }).click();
  await waitForText(fact(page, "state"), /^away since \d\d:\d\d:\d\d, for /);
  await waitForText(fact(page, "reason"), /^Why it is away: ./);
  await waitForText(page.locator("#details .chart .now").first(), "–");
  await page.getByLabel("Notice", { exact: true }).fill("come back");
  await page.getByRole("button", { name: "Send it" }).click();
  await waitForText(page.locator(".answer"), "south-1 is away. 1 message waits for it in its mailbox.");
  await waitForText(fact(page, "mailbox"), "1 message");
  startBox(server, "south-1");
  await waitForText(fact(page, "state"), /^online since /);
  await waitForText(fact(page, "mailbox"), "0 messages");
  await waitForText(cell(page, "south-1", "CPU"), /^\d+%$/);
  await page.end();
}

/** The server is killed and comes back. The page says since when, and recovers by itself. */
export async function recovery() {
  const server = await startServer();
  startBox(server, "north-1");
  const page = await openPage(server);
  await page.getByRole("link", { name: "north-1" }).click();
  await waitForText(fact(page, "state"), /^online since /);
  await waitForText(page.locator("#details .chart .now").first(), /^\d+%$/);
  const from = Date.now();
  await server.kill();
  const said = await waitForText(page.locator("#banner-text"), /^Not connected to the server since \d\d:\d\d:\d\d\. /);
  const to = Date.now();
  const clock = (at) => new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" }).format(at);
  const possible = [];
  for (let at = from - 1000; at <= to; at += 250) possible.push(clock(at));
  assert(possible.includes(said.match(/\d\d:\d\d:\d\d/)[0]), `${said} is between ${clock(from)} and ${clock(to)}`);
  assert.equal(await page.locator("#banner").isVisible(), true);
  await waitForText(page.locator("#link-text"), "not connected");
  assert.equal(await page.title(), "Not connected – Fleet");
  // The time of the loss stays, while attempts fail and seconds pass.
  await waitForText(page.locator("#banner-time"), /^That is ([3-9]|\d\d) s ago\./);
  assert.equal(await page.locator("#banner-text").textContent(), said);
  // A request says why there is not an answer.
  await page.getByRole("button", { name: "Check its health" }).click();
  await waitForText(page.locator(".answer"), "north-1 did not answer: this page is not connected to the server.");

  await startServer(server.addresses);
  await waitForText(page.locator("#link-text"), "connected");
  await page.locator("#banner").waitFor({ state: "hidden" });
  // The box comes back too, and so do its values and its charts.
  await waitForText(fact(page, "state"), /^online since /);
  await waitForText(page.locator("#summary"), "1 of 1 box online");
  const line = page.locator("#details .chart .line").first();
  await waitForChange(line, "d", await line.getAttribute("d"));
  await page.getByRole("button", { name: "Check its health" }).click();
  await waitForText(page.locator(".answer"), /^north-1 is well\. /);
  await page.end();
}

/** A server that needs a newer page says so, and the page does not try again. */
export async function outdated() {
  const server = await startServer();
  const page = await openPage(server);
  await waitForText(page.locator("#link-text"), "connected");
  let attempts = 0;
  await page.routeWebSocket(/\/ws/, (socket) => {
    attempts += 1;
    socket.close({ code: 4426, reason: "this server needs Dashboard v2" });
  });
  await page.reload();
  await waitForText(page.locator("#link-text"), "page is outdated");
  await waitForText(page.locator("#banner-text"), /^The server speaks a newer protocol than this page\. /);
  assert.equal(attempts, 1);
  const loaded = page.waitForEvent("load");
  await page.getByRole("button", { name: "Reload the page" }).click();
  await loaded;
  await page.end();
}

/** Names, states and labels choose the boxes of the list. */
export async function filters() {
  const server = await startServer();
  const boxes = new Map();
  for (const id of ["east-2", "east-10", "west-1"]) boxes.set(id, await playBox(server, id));
  const page = await openPage(server);
  const shown = () => page.locator("#rows tr:visible a").allTextContents();
  await waitForText(page.locator("#summary"), "3 of 3 boxes online");
  assert.deepEqual(await shown(), ["east-2", "east-10", "west-1"]);
  const east = page.getByRole("button", { name: "east 2", exact: true });
  await east.click();
  assert.deepEqual(await shown(), ["east-2", "east-10"]);
  assert.equal(await east.getAttribute("aria-pressed"), "true");
  await waitForText(page.locator("#shown"), "2 of 3 boxes");
  boxes.get("east-10").close();
  await waitForText(row(page, "east-10").locator(".is"), "away");
  await page.getByRole("button", { name: /^Online/ }).click();
  assert.deepEqual(await shown(), ["east-2"]);
  await page.getByRole("button", { name: /^All/ }).click();
  await east.click();
  await page.getByRole("searchbox").fill("1");
  assert.deepEqual(await shown(), ["east-10", "west-1"]);
  await page.getByRole("searchbox").fill("nothing");
  await waitForText(page.locator("#empty"), "The filters hide every box.");
  await page.end();
}
