// A server with the library `ws`. In addition to the operations of `act`, which use the newest
// connection: listen {host, port, and optionally reject, greeting or deflate}. Its events are
// `listening`, and `open` for each connection.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { Asking } from "./asking.mjs";
import { HANDLERS, act, compression, emit, emitOpen, forward, work } from "./lines.mjs";

let asking;

function listen({ host, port, reject, greeting, deflate }) {
  const upgrader = new WebSocketServer({
    noServer: true,
    ...compression(deflate),
    // Rejects every handshake with this HTTP status.
    verifyClient: (_info, answer) => answer(reject === undefined, reject),
  });
  const server = createServer();
  server.on("upgrade", (request, socket, head) => {
    // Holds back the output, so that the answer to the handshake and the greeting leave in one
    // segment.
    socket.cork();
    upgrader.handleUpgrade(request, socket, head, (connection) => {
      asking = new Asking(connection, HANDLERS);
      forward(asking);
      if (greeting !== undefined) {
        connection.send(greeting);
      }
      emitOpen(connection);
    });
    socket.uncork();
  });
  server.listen(port, host, () => emit("listening", { port: server.address().port }));
}

await work((operation) => {
  if (operation.op === "listen") {
    listen(operation);
  } else {
    act(asking, operation);
  }
});
