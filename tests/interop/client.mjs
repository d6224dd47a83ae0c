// A client with the library `ws`. In addition to the operations of `act`: connect {url}. Its event
// is `open` or `rejected`.
import { WebSocket } from "ws";
import { Asking } from "./asking.mjs";
import { HANDLERS, act, emit, forward, work } from "./lines.mjs";

let asking;

function connect(url) {
  const connection = new WebSocket(url);
  connection.on("open", () => emit("open"));
  connection.on("unexpected-response", (_request, response) => {
    emit("rejected", { status: response.statusCode });
    response.resume();
  });
  asking = new Asking(connection, HANDLERS);
  forward(asking);
}

await work((operation) => {
  if (operation.op === "connect") {
    connect(operation.url);
  } else {
    act(asking, operation);
  }
});
