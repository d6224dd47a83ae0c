// A client with the library `ws`. In addition to the operations of `act`: connect {url}. Its event
// is `open` or `rejected`.
import { WebSocket } from "ws";
import { act, emit, forward, work } from "./lines.mjs";

let connection;

function connect(url) {
  connection = new WebSocket(url);
  connection.on("open", () => emit("open"));
  connection.on("unexpected-response", (_request, response) => {
    emit("rejected", { status: response.statusCode });
    response.resume();
  });
  forward(connection);
}

await work((operation) => {
  if (operation.op === "connect") {
    connect(operation.url);
  } else {
    act(connection, operation);
  }
});
