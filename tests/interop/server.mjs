// A server with the library `ws`. In addition to the operations of `act`, which use the newest
// connection: listen {host, port, and optionally reject or greeting}. Its events are `listening`,
// and `open` for each connection.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { act, hear, tell, work } from "./lines.mjs";

let connection;

function listen({ host, port, refuse, greeting }) {
  const door = new WebSocketServer({
    noServer: true,
    // Rejects every handshake with this HTTP status.
    verifyClient: (_info, answer) => answer(refuse === undefined, refuse),
  });
  const server = createServer();
  server.on("upgrade", (request, socket, head) => {
    // Holds back the output, so that the answer to the handshake and the greeting leave in one
    // segment.
    socket.cork();
    door.handleUpgrade(request, socket, head, (accepted) => {
      connection = accepted;
      hear(connection);
      if (greeting !== undefined) {
        connection.send(greeting);
      }
      tell("open");
    });
    socket.uncork();
  });
  server.listen(port, host, () => tell("listening", { port: server.address().port }));
}

await work((operation) => {
  if (operation.op === "listen") {
    listen(operation);
  } else {
    act(connection, operation);
  }
});
