// npm's ws as its documentation shows. Its queue is that of the socket. Prints its port, and exits
// when standard input ends.
import { createServer } from "node:http";
import { createRequire } from "node:module";

// The package that the interoperation tests have installed, in the version that they pin.
const { WebSocketServer } = createRequire(new URL("../../interop/", import.meta.url))("ws");

const encode = (type, data) => JSON.stringify({ ver: 1, type, ts: Math.floor(Date.now() / 1000), data });

const handlers = new Map([
  ["telemetry", (socket, data) => socket.send(encode("telemetry", data))],
  [
    "reading",
    (socket, { id, n, t, h, v, ok, e, note }) => socket.send(encode("reading", { id, n, t, h, v, ok, e, note })),
  ],
  [
    "publish",
    (_socket, data) => {
      // Encoded once for all, as ws's documentation shows for a broadcast.
      const text = Buffer.from(encode("publish", data));
      for (const client of sockets.clients) {
        client.send(text, { binary: false });
      }
    },
  ],
]);

// ws sets TCP_NODELAY itself.
const server = createServer();
const sockets = new WebSocketServer({ server, path: "/ws" });
sockets.on("connection", (socket) => {
  socket.on("error", () => socket.terminate());
  socket.on("message", (text) => {
    const { type, data } = JSON.parse(text);
    handlers.get(type)(socket, data);
  });
});
// Room for many handshakes at once, as with the other peers.
server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
