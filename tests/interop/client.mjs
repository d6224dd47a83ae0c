// A client on the library `ws`. Beside the operations of `act`: connect {url}, told as open or refused.
import { WebSocket } from "ws";
import { act, hear, tell, work } from "./lines.mjs";

let connection;

function connect(url) {
  connection = new WebSocket(url);
  connection.on("open", () => tell("open"));
  connection.on("unexpected-response", (_request, response) => {
    tell("refused", { status: response.statusCode });
    response.resume();
  });
  hear(connection);
}

await work((operation) => {
  if (operation.op === "connect") {
    connect(operation.url);
  } else {
    act(connection, operation);
  }
});
