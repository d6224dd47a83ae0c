// A page that does what a test says: operations come in, and events go out. It runs in Node and in
// a browser, on the client that `export!` has written.
import { type Client, connect, refuse, type Socket, WebPage } from "./contract/client.js";
import { indexedDb } from "./contract/store.js";
import type { WebPage as Types } from "./contract/types.js";

/** An operation of the test. `tag` comes back with the result. */
interface Operation {
  readonly op: string;
  readonly tag: number;
  readonly [key: string]: any;
}

/** The JSON of an event has a bigint as a text that ends with n. */
export function eventText(event: object): string {
  return JSON.stringify(event, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value));
}

/** Returns a function that does operations. */
export function newPage(emit: (event: object) => void, WebSocket?: new (url: string) => Socket) {
  let client: Client<Types>;
  const aborts = new Map<number, AbortController>();
  let release = () => {};

  function start({ url, options = {}, store, random }: Operation): void {
    client = connect(WebPage, {
      url,
      ...(WebSocket && { WebSocket }),
      ...(random !== undefined && { random: () => random }),
      ...(store && { store: indexedDb(store) }),
      ...options,
      handlers: {
        sample(sample) {
          emit({ event: "sample", big: typeof sample.big, debt: typeof sample.debt, keys: Object.keys(sample) });
          // Back as it came: what Rust reads is what it wrote.
          client.send("sample", sample).catch((error) => emit({ event: "lost", error: String(error) }));
        },
        order({ n }) {
          if (n === 13) throw new Error("an unlucky number");
          emit({ event: "order", n });
        },
        gauge({ place, value }) {
          emit({ event: "gauge", place, value });
        },
        wish({ level }) {
          emit({ event: "wish", level });
        },
        notice({ text }) {
          emit({ event: "notice", text });
          if (text === "fail") throw new Error("asked to fail");
        },
        async ask({ how }, { signal }) {
          if (how === "refuse") return refuse({ until: 90 });
          if (how === "fail") throw new Error("asked to fail");
          if (how === "hold") {
            signal.addEventListener("abort", () => emit({ event: "aborted" }));
            emit({ event: "held" });
            await new Promise<void>((resolve) => (release = resolve));
          }
          return { said: how };
        },
      },
      onState: (state) => emit({ event: "state", ...state, since: state.since.getTime() }),
      onRaw: (data, why) => emit({ event: "raw", data: typeof data === "string" ? data : data.byteLength, why }),
      onUnknown: (type, data) => emit({ event: "unknown", type, data }),
      onProblem: (problem) => emit({ event: "problem", ...problem, error: String("error" in problem && problem.error) }),
    });
  }

  async function run(operation: Operation): Promise<unknown> {
    const { op, tag, type, data, timeout } = operation;
    switch (op) {
      case "connect":
        return start(operation);
      case "send":
        return client.send(type as "sample", data);
      case "send_big":
        // 2^64 - 1 and -2^63, as a program writes them.
        return client.send("sample", { ...data, big: 18446744073709551615n, debt: -9223372036854775808n });
      case "deliver":
        return client.deliver(type as "reading", data);
      case "request": {
        const abort = new AbortController();
        aborts.set(tag, abort);
        const how = { signal: abort.signal, ...(timeout && { timeout }) };
        return client.request(type as "enter", data, how).catch((error) => {
          throw Object.assign(error, { refusal: client.refusal("enter", error) });
        });
      }
      case "cancel":
        return aborts.get(operation["of"])!.abort();
      case "listen":
        return void client.on("notice", ({ text }) => emit({ event: "heard", text }));
      case "replace":
        return client.answer("ask", ({ how }) => ({ said: `replaced ${how}` }));
      case "release":
        return release();
      case "retry":
        return client.retryNow();
      case "connected":
        return client.connected();
      case "waiting":
        return { waiting: client.waiting, isDurable: client.isDurable };
      case "close":
        return client.close();
      default:
        throw new Error(`no such operation: ${op}`);
    }
  }

  return async (operation: Operation): Promise<void> => {
    const { tag } = operation;
    try {
      emit({ event: "result", tag, value: (await run(operation)) ?? null });
    } catch (error) {
      const { name, code, message, peerCode, refusal } = error as Record<string, unknown>;
      emit({ event: "error", tag, name, code, message, peerCode, refusal });
    }
  };
}
