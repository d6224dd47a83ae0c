// The shared parts of the two Node programs: operations come in and events go out, each a JSON
// object on a line.
import { createInterface } from "node:readline";
import { Refusal } from "./asking.mjs";

export function emit(event, values = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);
}

export function emitOpen({ extensions }) {
  emit("open", { extensions });
}

/** Returns the options for a compression: that of the library, all or none, or with these parameters. */
export function compression(deflate) {
  if (typeof deflate !== "object") return deflate === undefined ? {} : { perMessageDeflate: deflate };
  return {
    perMessageDeflate: {
      clientNoContextTakeover: deflate.client_no_context_takeover,
      serverNoContextTakeover: deflate.server_no_context_takeover,
      clientMaxWindowBits: deflate.client_max_window_bits,
      serverMaxWindowBits: deflate.server_max_window_bits,
      // The library would send short messages as they are.
      threshold: 0,
    },
  };
}

/** Performs each operation in turn until standard input ends, which happens when the test exits. */
export async function work(perform) {
  for await (const line of createInterface({ input: process.stdin })) {
    perform(JSON.parse(line));
  }
  process.exit();
}

// A request of the type `hold` is answered when the gate with its number is open.
const gates = new Map();

export const HANDLERS = {
  add: (_asking, { a, b }) => ["sum", { sum: a + b }],
  ask_back: async (asking, { depth }) => {
    if (depth > 0) {
      const { err } = await asking.request("ask_back", { depth: depth - 1 });
      if (err !== undefined) throw new Refusal({ code: "failed", message: JSON.stringify(err) });
    }
    return ["asked", { depth }];
  },
  reboot: (_asking, { delay_s }) => {
    throw new Refusal({ code: "in_use", message: "a film is playing", data: { until_s: delay_s + 90 } });
  },
  hold: async (_asking, data) => {
    await gate(data.n).opened;
    return ["held", data];
  },
};

/** Returns the gate with this number. */
function gate(n) {
  if (!gates.has(n)) {
    const made = {};
    made.opened = new Promise((open) => (made.open = open));
    gates.set(n, made);
  }
  return gates.get(n);
}

/** Writes an event for each message that is not taken as a request or reply, and for the close. */
export function forward(asking) {
  const { connection } = asking;
  connection.on("message", (data, isBinary) => {
    if (isBinary) {
      emit("binary", { bytes: [...data] });
    } else if (!asking.take(data.toString())) {
      emit("message", { text: data.toString() });
    }
  });
  connection.on("pong", (payload) => emit("pong", { text: payload.toString() }));
  connection.on("close", (code, reason) => emit("close", { code, reason: reason.toString() }));
}

/** Performs an operation on a connection, at either end of it. */
export function act(asking, operation) {
  const { connection } = asking;
  switch (operation.op) {
    case "request":
      asking.request(operation.type, operation.data, operation).then((envelope) => emit("reply", { envelope }));
      break;
    case "release":
      gate(operation.n).open();
      break;
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
