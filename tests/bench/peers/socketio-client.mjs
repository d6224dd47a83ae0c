// socket.io's client, which asks with `emitWithAck`. It does what peers/requests/mod.rs does: the
// same arguments, the same requests, the same lines.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [port, connections, outstanding, warmUp, measure] = process.argv.slice(2).map(Number);
const NOTE = "the quick brown fox jumps over the lazy dog, and the five boxing wizards jump quickly over it too..";
const B = 2000;

// Without the long polling that socket.io begins with by default.
const connect = () =>
  new Promise((resolve, reject) => {
    const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], forceNew: true });
    socket.once("connect", () => resolve(socket)).once("connect_error", reject);
  });

// Sends one request after the other, and notes how long each took, in microseconds.
async function work(socket, a, until, latencies) {
  let since = performance.now();
  for (;;) {
    const { sum, note } = await socket.emitWithAck("add", { a, b: B, note: NOTE });
    if (sum !== a + B || note !== NOTE) {
      throw new Error(`wrong reply: ${sum} and ${note} to ${a} and ${B}`);
    }
    const now = performance.now();
    latencies.push((now - since) * 1000);
    if (now >= until) {
      return;
    }
    since = now;
  }
}

async function phase(sockets, milliseconds) {
  const until = performance.now() + milliseconds;
  const latencies = [];
  const numbers = Array.from({ length: outstanding }, (_, number) => 1000 + number);
  await Promise.all(sockets.flatMap((socket) => numbers.map((a) => work(socket, a, until, latencies))));
  return latencies;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Prints a line, and waits for the answer.
async function say(line) {
  console.log(line);
  if ((await lines.next()).done) {
    process.exit(1);
  }
}

const sockets = await Promise.all(Array.from({ length: connections }, connect));
await phase(sockets, warmUp);
await say("warm");
const started = performance.now();
const latencies = await phase(sockets, measure);
const took = performance.now() - started;
await say("done");
latencies.sort((a, b) => a - b);
// The smallest value that this share does not exceed, as in statistics.rs.
const percentile = (share) => latencies[Math.max(Math.ceil(share * latencies.length) - 1, 0)];
console.log(
  JSON.stringify({
    requests: latencies.length,
    took_us: took * 1000,
    p50_us: percentile(0.5),
    p95_us: percentile(0.95),
    p99_us: percentile(0.99),
  }),
);
process.exit(0);
