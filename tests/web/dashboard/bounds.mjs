// What the network can make grow has a bound: pages, boxes, and the texts of both.
import assert from "node:assert/strict";
import WebSocket from "ws";
import { playBox, startServer } from "./programs.mjs";

const [PAGES, BOXES, NOTICE, INCIDENT] = [50, 800, 200, 120];

/** Connects as a page does. Returns the status of a rejection instead of a socket. */
const connect = (url) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.once("unexpected-response", (_, { statusCode }) => resolve(statusCode));
    socket.once("open", () => resolve(socket));
    socket.once("error", reject);
  });

/** Waits for a message that `find` takes. */
const next = (socket, find) =>
  new Promise((resolve) => {
    const listen = (text) => {
      const found = find(JSON.parse(text));
      if (found === undefined) return;
      socket.off("message", listen);
      resolve(found);
    };
    socket.on("message", listen);
  });

export async function bounds() {
  const server = await startServer();
  const page = `ws://${server.addresses.page}/ws`;
  const [first] = await Promise.all(Array.from({ length: PAGES }, () => connect(page)));
  assert.equal(await connect(page), 503, "one page more");

  // A box whose incident is long, and would change the screen of a terminal.
  const incident = next(first, ({ data }) => data?.notices?.find(({ text }) => text.includes("reports"))?.text);
  const box = await connect(`${server.boxesUrl}?id=box-1`);
  const text = `\u001b[2J${"x".repeat(500)}`;
  box.send(JSON.stringify({ type: "incident", data: { text } }));
  const escaped = `\\u{1b}[2J${"x".repeat(INCIDENT)}`.slice(0, INCIDENT);
  assert.equal(await incident, `box-1 reports: it ${escaped}`);

  const send = async (length) => {
    const reply = next(first, (message) => (message.re === length ? message : undefined));
    first.send(JSON.stringify({ type: "send_notice", id: length, data: { id: "box-1", text: "ä".repeat(length) } }));
    return (await reply).err?.data.reason;
  };
  assert.equal(await send(NOTICE), undefined);
  assert.equal(await send(NOTICE + 1), "a notice has 1 to 200 characters");

  for (let at = 2; at <= BOXES; at += 1) await playBox(server, `box-${at}`);
  assert.equal(await connect(`${server.boxesUrl}?id=one-more`), 503, "one box more");
  assert.equal(typeof (await connect(`${server.boxesUrl}?id=box-2`)), "object", "a known box");
}
