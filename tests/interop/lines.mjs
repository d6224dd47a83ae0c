// What the two Node programs share: operations come in and events go out, each a JSON object on a line of its own.
import { createInterface } from "node:readline";

export function tell(event, values = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);
}

/** Does each operation in turn until standard input ends, as it does when the test that started this program is gone. */
export async function work(perform) {
  for await (const line of createInterface({ input: process.stdin })) {
    perform(JSON.parse(line));
  }
  process.exit();
}

/** Tells of what comes in, and of the end. */
export function hear(connection) {
  connection.on("message", (data, isBinary) => {
    if (isBinary) {
      tell("binary", { bytes: [...data] });
    } else {
      tell("message", { text: data.toString() });
    }
  });
  connection.on("pong", (payload) => tell("pong", { text: payload.toString() }));
  connection.on("close", (code, reason) => tell("close", { code, reason: reason.toString() }));
}

/** Does what can be done on a connection, whichever end of it this program is. */
export function act(connection, operation) {
  switch (operation.op) {
    case "send_text":
      connection.send(operation.text);
      break;
    case "send_binary":
      connection.send(Buffer.from(operation.bytes));
      break;
    case "send_fragments":
      operation.parts.forEach((part, at, parts) => connection.send(part, { fin: at === parts.length - 1 }));
      break;
    case "ping":
      connection.ping(operation.text);
      break;
    case "close":
      connection.close(operation.code, operation.reason);
      break;
    default:
      throw new Error(`no such operation: ${JSON.stringify(operation)}`);
  }
}
