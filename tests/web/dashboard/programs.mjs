// The programs of a test: the fleet's server, its boxes, and boxes that this process plays.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import WebSocket from "ws";

/** Time for each wait, in milliseconds. A busy machine starts a browser slowly. */
export const DEADLINE = 30_000;

const running = new Set();

/** Runs the fleet with these arguments. `line` resolves with the rest of the next line that begins so. */
function fleet(...args) {
  const child = spawn(process.env.FLEET, args, { stdio: ["ignore", "pipe", "inherit"] });
  running.add(child);
  const lines = [];
  let wake = () => {};
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    wake();
  });
  child.once("exit", () => wake());
  return {
    async line(start) {
      const find = () => lines.findIndex((line) => line.startsWith(start));
      const end = Date.now() + DEADLINE;
      while (find() < 0) {
        if (child.exitCode !== null || Date.now() > end) throw new Error(`not a line ${start} in:\n${lines.join("\n")}`);
        await new Promise((resolve) => {
          wake = resolve;
          setTimeout(resolve, 100);
        });
      }
      return lines[find()].slice(start.length);
    },
    /** Kills it, as a power loss does. */
    async kill() {
      running.delete(child);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** A server with its page. `at` has the addresses of one that was killed. */
export async function startServer(at = { boxes: "127.0.0.1:0", page: "127.0.0.1:0" }) {
  const program = fleet("server", "--listen", at.boxes, "--page", at.page);
  const boxes = await program.line("server: listening on ws://");
  const page = await program.line("page: http://");
  const addresses = { boxes: boxes.replace(/\/ws$/, ""), page: page.replace(/\/$/, "") };
  return { ...program, addresses, url: `http://${page}`, boxesUrl: `ws://${boxes}` };
}

export const startBox = (server, id) => fleet("box", "--url", server.boxesUrl, "--id", id);

/** A box that this process plays. Its program is of another version if `version` says so. */
export async function playBox(server, id, version = 1) {
  const socket = new WebSocket(`${server.boxesUrl}?id=${id}`);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  let [number, received] = [0, 0];
  return {
    /** Sends a sample. */
    report(cpu) {
      number += 1;
      received += 1000 * cpu;
      const stamp = { run: 1, session: 1, number };
      const host = { cores: [cpu], memory: 40, disk: "/", disk_used: 3, received, sent: received };
      socket.send(JSON.stringify({ type: "telemetry", data: { stamp, per_second: 1, ...host, version, outbox: cpu } }));
    },
    /** Answers each request of a type with what `answer` returns, or not at all. */
    answer(type, answer) {
      socket.on("message", (text) => {
        const message = JSON.parse(text);
        if (message.type !== type) return;
        const reply = answer(message.data);
        if (reply) socket.send(JSON.stringify({ re: message.id, ...reply }));
      });
    },
    close: () => socket.close(),
  };
}

/** Kills what still runs. */
export function killAll() {
  for (const child of running) child.kill("SIGKILL");
}
