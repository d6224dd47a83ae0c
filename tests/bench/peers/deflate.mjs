// npm's ws for the measurements of compression: the same work as the hub in src/deflate/serve.rs.
// Prints its port, and exits when standard input ends. Arguments: the mode, the folder of samples.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

// The package that the interoperation tests have installed, in the version that they pin.
const { WebSocketServer } = createRequire(new URL("../../interop/", import.meta.url))("ws");

const [mode, folder] = process.argv.slice(2);
// By default ws compresses only messages of 1,024 bytes or more.
const perMessageDeflate = {
  off: false,
  default: { threshold: 0 },
  alone: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
}[mode];

const lines = (file, types) =>
  readFileSync(`${folder}/${file}`, "utf8")
    .split("\n")
    .filter((line) => types.some((type) => line.includes(`"type":"${type}"`)));
const samples = {
  orders: lines("hub.jsonl", ["check_health", "set_rate"]),
  changes: lines("page.jsonl", ["changes"]),
};

const server = createServer();
const sockets = new WebSocketServer({ server, path: "/ws", perMessageDeflate });
const handlers = {
  telemetry() {},
  mark: (socket) => socket.send(JSON.stringify({ ver: 1, type: "mark", ts: Math.floor(Date.now() / 1000), data: {} })),
  replay(socket, { samples: name, count, everyone }) {
    const all = samples[name];
    for (let n = 0; n < count; n++) {
      for (const each of everyone ? sockets.clients : [socket]) {
        each.send(all[n % all.length]);
      }
    }
  },
};
sockets.on("connection", (socket) => {
  socket.on("error", () => socket.terminate());
  socket.on("message", (text) => {
    const { type, data } = JSON.parse(text);
    handlers[type](socket, data);
  });
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
