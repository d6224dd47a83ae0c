// A node of a cluster: socket.io with its Redis adapter, as its documentation shows, or with the
// sharded one, if the word `sharded` is before the other arguments. It does what
// src/cluster/node.rs does: the same arguments, the same lines.
import { once } from "node:events";
import { createServer } from "node:http";
import * as net from "node:net";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [broker, address, text] = process.argv.slice(-3);
const isSharded = process.argv[2] === "sharded";
process.stdin.on("end", () => process.exit(0)).resume();

const publisher = createClient({ url: broker });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);
// The WebSocket sets TCP_NODELAY itself.
const server = createServer();
// A channel for each connection, so that a message to one goes to its node alone.
const adapter = isSharded
  ? createShardedAdapter(publisher, subscriber, { subscriptionMode: "dynamic-private" })
  : createAdapter(publisher, subscriber);
const io = new Server(server, { adapter });

// Calls what a line says. A node has no other work, so a line that it does not know ends it.
function call(line) {
  const [name, number, argument] = line.split(" ");
  const n = Number(number);
  if (name === "broadcast") {
    for (let next = n; next < n + Number(argument); next += 1) {
      io.emit("news", { n: next, text });
    }
  } else if (name === "send") {
    // A socket is in the room of its id.
    io.to(argument).emit("news", { n, text });
  } else {
    throw new Error(`a node does not know the line: ${line}`);
  }
}

const control = net.createServer((stream) => {
  let rest = "";
  stream.setEncoding("latin1").on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    lines.forEach(call);
  });
});
server.listen({ host: address, port: 0, backlog: 4096 });
control.listen({ host: address, port: 0 });
await Promise.all([once(server, "listening"), once(control, "listening")]);
// The adapter does not say when it has subscribed. Redis answers a connection in order.
await subscriber.ping();
console.log(`${server.address().port} ${control.address().port}`);
