// The shared parts of the two Node programs: operations come in and events go out, each a JSON
// object on a line.
import { createInterface } from "node:readline";

export function emit(event, values = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);
}

/** Performs each operation in turn until standard input ends, which happens when the test exits. */
export async function work(perform) {
  for await (const line of createInterface({ input: process.stdin })) {
    perform(JSON.parse(line));
  }
  process.exit();
}

/** Writes an event for each message, and for the close. */
export function forward(connection) {
  connection.on("message", (data, isBinary) => {
    if (isBinary) {
      emit("binary", { bytes: [...data] });
    } else {
      emit("message", { text: data.toString() });
    }
  });
  connection.on("pong", (payload) => emit("pong", { text: payload.toString() }));
  connection.on("close", (code, reason) => emit("close", { code, reason: reason.toString() }));
}

/** Performs an operation on a connection, at either end of it. */
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
