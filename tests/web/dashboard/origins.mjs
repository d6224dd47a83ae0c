// A page of another origin cannot connect, and this page cannot reach another server.
import assert from "node:assert/strict";
import http from "node:http";
import WebSocket from "ws";
import { openPage, waitForText } from "./browser.mjs";
import { playBox, startServer } from "./programs.mjs";

export async function origins() {
  const server = await startServer();
  await playBox(server, "north-1");
  const page = await openPage(server);
  await waitForText(page.locator("#summary"), "1 of 1 box online");

  // The page of another server, in the same browser.
  const connects = (url) =>
    new Promise((resolve) => {
      const socket = new WebSocket(url);
      socket.onopen = () => resolve("open");
      socket.onerror = () => resolve("error");
    });
  const other = http.createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<title>other</title>"));
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  const otherUrl = `http://127.0.0.1:${other.address().port}/`;
  const stranger = await page.context().newPage();
  await stranger.goto(otherUrl);
  assert.equal(await stranger.evaluate(connects, `ws://${server.addresses.page}/ws`), "error");
  assert.equal(await page.evaluate(connects, `ws://${server.addresses.page}/ws`), "open", "a page of this server");

  // The headers of browsers, also those of a page whose name leads to this machine.
  const status = (headers) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws://${server.addresses.page}/ws`, { headers });
      socket.once("unexpected-response", (_, { statusCode }) => resolve(statusCode));
      socket.once("open", () => resolve(101));
      socket.once("error", reject);
    });
  const port = server.addresses.page.split(":")[1];
  assert.equal(await status({ origin: `http://127.0.0.1:${port}` }), 101);
  assert.equal(await status({ origin: `http://localhost:${port}`, host: `localhost:${port}` }), 101);
  assert.equal(await status({ origin: `http://evil.example:${port}`, host: `evil.example:${port}` }), 403);
  assert.equal(await status({ origin: "null" }), 403);
  assert.equal(await status({ origin: `https://127.0.0.1:${port}` }), 403);

  // This page reaches its own server alone, and runs only the scripts of its files.
  const reach = (url) => fetch(url, { mode: "no-cors" }).then(() => "reached", () => "blocked");
  assert.equal(await page.evaluate(reach, otherUrl), "blocked");
  const inline = () => {
    const script = document.createElement("script");
    try {
      script.textContent = "globalThis.ran = true";
    } catch {
      return "blocked";
    }
    document.head.append(script);
    return globalThis.ran ? "ran" : "blocked";
  };
  assert.equal(await page.evaluate(inline), "blocked");
  assert(page.takeProblems().some((line) => line.includes("Content Security Policy")));
  other.close();
  await page.end();
}
