// The client: all that a program calls, and the way of a message from the socket to its handler.
import { newDelivery } from "./delivery.js";
import { type Envelope, readEnvelope, readFailure, writeEnvelope } from "./envelope.js";
import { type DeliveryError, RequestError, SendError, textOf } from "./errors.js";
import { type AnySide, type Failed, newHandling } from "./handling.js";
import { stringify } from "./json.js";
import { newLink } from "./link.js";
import { type Answerer, type Listener, type Options, type Problem, resolve, type State } from "./options.js";
import { type Asking, newRequests } from "./requests.js";
import type { Answers, Messages, Policy, Side } from "./side.js";

/** A client of one side of a protocol. `connect` makes it. */
export interface Client<S extends Messages> {
  /** The state, with the time since when it holds. */
  readonly state: State;

  /** The number of kept messages that the server has not handled. */
  readonly waiting: number;

  /** Whether kept messages outlive the page: the client has opened its store. */
  readonly isDurable: boolean;

  /**
   * Sends a message. One that is delivered at most once is handed to the WebSocket. A kept one is
   * accepted, also without a connection, and is durable if the store is.
   *
   * Rejects with a `SendError`.
   */
  send<T extends keyof S["sends"] & string>(type: T, data: S["sends"][T]): Promise<void>;

  /**
   * Sends a kept message, and waits until the handler of the server has returned.
   *
   * Rejects with a `SendError` if it was not accepted, and with a `DeliveryError` if it was not
   * handled.
   */
  deliver<T extends keyof S["sends"] & string>(type: T, data: S["sends"][T]): Promise<void>;

  /** Asks the server, and waits for its reply. Rejects with a `RequestError`. */
  request<T extends keyof S["requests"] & string>(
    type: T,
    data: S["requests"][T]["request"],
    how?: Asking,
  ): Promise<S["requests"][T]["reply"]>;

  /** Returns the data with which the server refused this request, if this error is that. */
  refusal<T extends keyof S["requests"] & string>(type: T, error: unknown): S["requests"][T]["refusal"] | undefined;

  /** Adds a listener for a message, beside its handler. Returns the function that removes it. */
  on<T extends keyof S["receives"] & string>(type: T, listener: Listener<S["receives"][T]>): () => void;

  /** Replaces the handler of a request. */
  answer<T extends keyof S["answers"] & string>(type: T, answerer: Answerer<S["answers"][T]>): void;

  /** Waits until the client is connected. Rejects with `closed` if that does not happen any more. */
  connected(): Promise<void>;

  /** Waits until at most half of `maxBufferedBytes` wait for the network, or the connection has ended. */
  drained(): Promise<void>;

  /** Dials now, also if there is a connection, because the program knows that the network has changed. */
  retryNow(): void;

  /** Closes the client for good, with code 1000. Returns when the server has answered, after 10 s at most. */
  close(): Promise<void>;
}

/** The type of the request that asks for a sign of life. No message has it. */
const HEARTBEAT = "wsx.heartbeat";
/** Shortest time between two reports of failures of plain messages, in milliseconds. */
const REPORT_EVERY = 100;
/** How often `drained` looks, in milliseconds. Browsers do not report it. */
const LOOK_EVERY = 50;

/** Connects, and connects again whenever the connection ends, until the client is closed. */
export function connect<S extends Messages>(side: Side<S>, options: Options<S>): Client<S> {
  const resolved = resolve(options);
  const { maxBufferedBytes, maxRequests, requestTimeout, reportFailures, onProblem, onRaw, onState } = resolved;
  const reserve = maxBufferedBytes * 2;
  const sends: Readonly<Record<string, Policy>> = side.sends;
  const asks: Readonly<Record<string, Answers>> = side.requests;
  const requests = newRequests();
  const handling = newHandling(side as unknown as AnySide, options.handlers as never, resolved, problem);
  const delivery = newDelivery(resolved, { problem, handle: handling.message, write: writeOrFail });
  const version = encodeURIComponent(`${side.protocol}.${side.version}.${side.fingerprint}`);
  const waiters: (() => void)[] = [];
  let isClosed = false;
  let reportedAt = -Infinity;
  const link = newLink(resolved, `wsx-protocol=${version}`, {
    opened: delivery.attach,
    received,
    probe: () => writeOrFail(writeEnvelope(HEARTBEAT, `"id":"${HEARTBEAT}","ttl":0`)),
    ended(why) {
      delivery.detach();
      handling.end();
      requests.end(why);
    },
    state(state) {
      for (const waiter of waiters.splice(0)) waiter();
      handling.guard(() => onState(state));
    },
  });
  void delivery.ready.then(() => isClosed || link.dial());

  function problem(problem: Problem): void {
    try {
      onProblem(problem);
    } catch (error) {
      console.error("wsx:", error);
    }
  }

  function encode(data: unknown): string {
    try {
      return stringify(data);
    } catch (error) {
      throw new SendError("not_json", textOf(error));
    }
  }

  function rejectIfOver(): void {
    if (isClosed || link.isOver()) throw new SendError("closed", `the client is closed: ${link.state().why}`);
  }

  function write(text: string): void {
    rejectIfOver();
    if (!link.connection()) throw new SendError("not_connected", "the client is not connected");
    if (!link.write(text, maxBufferedBytes)) throw new SendError("full", "the network is too slow");
  }

  /** Writes what the server waits for. Without room for it, the connection is of no use. */
  function writeOrFail(text: string): void {
    if (link.connection() && !link.write(text, reserve)) link.fail("the server does not read");
  }

  const isKept = (type: string) => sends[type]!.delivery !== "at_most_once";

  async function keep(type: string, data: any, done?: (error?: DeliveryError) => void): Promise<void> {
    rejectIfOver();
    const policy = sends[type]!;
    const key = policy.key === undefined ? "" : encode(data[policy.key]);
    return delivery.keep(type, policy, key, encode(data), done);
  }

  function received(connection: object, data: string | ArrayBuffer): void {
    const envelope = typeof data === "string" ? readEnvelope(data) : "it is binary";
    if (typeof envelope !== "string") sorted(connection, envelope);
    else if (onRaw) handling.guard(() => onRaw(data, envelope));
    else problem({ is: "envelope_rejected", why: envelope });
  }

  /** Sorts an envelope by its keys, in the order of the specification. */
  function sorted(connection: object, envelope: Envelope): void {
    const { type, id, re, err, data } = envelope;
    const failure = err === undefined || err === null ? null : readFailure(err);
    if (re !== undefined) {
      const isExpected = re === HEARTBEAT || requests.answer(re, type, data, failure);
      if (!isExpected) problem({ is: "reply_unexpected", type });
    } else if (failure) {
      if (id !== undefined) handling.cancel(id);
      else problem({ is: "peer_failed", type, code: failure.code, message: failure.message });
    } else if (id !== undefined) {
      void handling.request(envelope).then((reply) => {
        if (connection === link.connection()) writeOrFail(writeEnvelope(reply.type, reply.rest));
        else problem({ is: "reply_dropped", type });
      });
    } else if (!delivery.take(connection, envelope)) {
      if (!handling.hasRoom()) return link.fail("too many pending handlers");
      void handling.message(envelope).then((failed) => failed && report(connection, type, failed));
    }
  }

  /** Reports the failure of a message that was not a request, at most 10 in a second. */
  function report(connection: object, type: string, failed: Failed): void {
    const now = performance.now();
    if (!reportFailures || connection !== link.connection() || now < reportedAt + REPORT_EVERY) return;
    reportedAt = now;
    link.write(writeEnvelope(type.slice(0, 128), `"err":${stringify(failed)}`), reserve);
  }

  return {
    get state() {
      return link.state();
    },
    get waiting() {
      return delivery.waiting();
    },
    get isDurable() {
      return delivery.isDurable();
    },
    async send(type, data) {
      if (isKept(type)) await keep(type, data);
      else write(writeEnvelope(type, `"data":${encode(data)}`));
    },
    async deliver(type, data) {
      if (!isKept(type)) throw new TypeError(`"${type}" is not kept`);
      return new Promise((resolve, reject) => {
        keep(type, data, (error) => (error ? reject(error) : resolve())).catch(reject);
      });
    },
    async request(type, data, { timeout = requestTimeout, signal } = {}) {
      const ttl = Number.isFinite(timeout) ? `"ttl":${Math.max(Math.ceil(timeout), 1)},` : "";
      const send = (id: number) => {
        try {
          if (requests.size() >= maxRequests) throw new SendError("full", "too many requests");
          write(writeEnvelope(type, `"id":${id},${ttl}"data":${encode(data)}`));
        } catch (error) {
          const { code, message } = error as SendError;
          throw new RequestError(code, type, `was not sent: ${message}`);
        }
      };
      const cancel = (id: number) => {
        link.write(writeEnvelope("cancel", `"id":${id},"err":{"code":"cancelled"}`), reserve);
      };
      return requests.ask(type, asks[type]!.reply, timeout, signal, send, cancel);
    },
    refusal(type, error) {
      const { refusal } = asks[type]!;
      return error instanceof RequestError && error.type === type && error.code === refusal ? error.data : undefined;
    },
    on: (type, listener) => handling.add(type, listener as never),
    answer: (type, answerer) => handling.replace(type, answerer as never),
    async connected() {
      while (link.state().is !== "connected") {
        rejectIfOver();
        await new Promise<void>((resolve) => waiters.push(resolve));
      }
    },
    async drained() {
      while ((link.connection()?.bufferedAmount ?? 0) > maxBufferedBytes / 2) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
      }
    },
    retryNow() {
      if (!isClosed && !link.isOver()) link.dial();
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      await delivery.conclude();
      await Promise.all([link.close(), delivery.close()]);
    },
  };
}
