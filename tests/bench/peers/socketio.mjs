// socket.io as its documentation shows: a server that acknowledges an event with its result. Prints
// its port, and exits when standard input ends.
import { createServer } from "node:http";
import { Server } from "socket.io";

// The WebSocket below sets TCP_NODELAY itself.
const server = createServer();
new Server(server).on("connection", (socket) => {
  socket.on("add", ({ a, b, note }, answer) => answer({ sum: a + b, note }));
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
