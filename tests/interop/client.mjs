// A client with the library `ws`. In addition to the operations of `act`: connect {url, and
// optionally deflate}. Its event is `open` or `rejected`.
import { WebSocket } from "ws";
import { Asking } from "./asking.mjs";
import { HANDLERS, act, compression, emit, emitOpen, forward, work } from "./lines.mjs";

let asking;

function connect({ url, deflate }) {
  const connection = new WebSocket(url, compression(deflate));
  connection.on("open", () => emitOpen(connection));
  connection.on("unexpected-response", (_request, response) => {
    emit("rejected", { status: response.statusCode });
    response.resume();
  });
  asking = new Asking(connection, HANDLERS);
  forward(asking);
}

await work((operation) => {
  if (operation.op === "connect") {
    connect(operation);
  } else {
    act(asking, operation);
  }
});
