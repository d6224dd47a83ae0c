// Fleet v1, written by `wsx::contract::export!`. Do not change this file.
// The client of wsx for browsers and Node, which depends on nothing. Its source is in the folder
// client of the crate, a module for each idea; this file joins them.

// ---- client ----

// The client: all that a program calls, and the way of a message from the socket to its handler.

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

// ---- side ----

// What a client knows of its protocol: the types of one side, and the table that `export!` writes.

/** A request: the message that asks, the reply, and the refusal if the protocol names one. */
export interface Exchange {
  request: unknown;
  reply: unknown;
  refusal: unknown;
}

/** The messages of one side of a protocol, by their types. `types.ts` has one for each side. */
export interface Messages {
  sends: Record<string, unknown>;
  requests: Record<string, Exchange>;
  receives: Record<string, unknown>;
  answers: Record<string, Exchange>;
}

/** How the messages of a type are delivered. `ttl` is in milliseconds. */
export interface Policy {
  readonly delivery: "at_most_once" | "at_least_once" | "latest" | "state";
  readonly ttl?: number;
  readonly key?: string;
  readonly full?: "reject" | "drop_oldest";
}

/** The types of the reply to a request, and of its refusal if there is one. */
export interface Answers {
  readonly reply: string;
  readonly refusal: string | null;
}

/** One side of a protocol. `export!` writes a constant of this type for each side that connects. */
export interface Side<S extends Messages> {
  readonly protocol: string;
  readonly version: number;
  /** 16 hexadecimal digits. */
  readonly fingerprint: string;
  readonly side: string;
  readonly sends: { readonly [T in keyof S["sends"]]: Policy };
  readonly requests: { readonly [T in keyof S["requests"]]: Answers };
  readonly receives: { readonly [T in keyof S["receives"]]: Policy };
  readonly answers: { readonly [T in keyof S["answers"]]: Answers };
}

// ---- options ----

// What a program gives to `connect`: its handlers, options with their defaults, and the types of
// what it is told.

/** What a handler learns of its message besides the data. */
export interface Context {
  /** The type of the message. */
  readonly type: string;
  /** When it was sent, in seconds since 1970, by the clock of its sender. */
  readonly ts: number;
  /** Aborted when the connection ends, or when the server does not wait for the reply any more. */
  readonly signal: AbortSignal;
  /** The epoch and the number of a kept message. It is handled once for each. */
  readonly delivered?: { readonly epoch: string; readonly number: number } | undefined;
}

/** What a handler of a request returns. A handler that throws fails the request. */
export type Answer<X extends Exchange> =
  | X["reply"]
  | ([X["refusal"]] extends [never] ? never : Refused<X["refusal"]>);

export type Listener<D> = (data: D, context: Context) => unknown;
export type Answerer<X extends Exchange> = (
  request: X["request"],
  context: Context,
) => Answer<X> | Promise<Answer<X>>;

/**
 * A handler for each message that the side receives, and for each request that it answers.
 *
 * Handlers are called in the order of the messages. The next one is called without waiting for the
 * promise of the previous one, except for kept messages: those wait for each other.
 */
export type Handlers<S extends Messages> = {
  readonly [T in keyof S["receives"] | keyof S["answers"]]: T extends keyof S["answers"]
    ? Answerer<S["answers"][T]>
    : T extends keyof S["receives"]
      ? Listener<S["receives"][T]>
      : never;
};

/** The state of a client. `since` and `why` of a client without a connection are those of its loss. */
export type State =
  | { readonly is: "connecting"; readonly since: Date; readonly why: string; readonly attempt: number }
  | { readonly is: "connected"; readonly since: Date; readonly why: "" }
  | {
      readonly is: "waiting";
      readonly since: Date;
      readonly why: string;
      /** The number of the attempt that failed. */
      readonly attempt: number;
      /** The length of the wait, in milliseconds. */
      readonly delay: number;
    }
  /** The server needs a newer page (close code 4426). The client does not connect again. */
  | { readonly is: "outdated"; readonly since: Date; readonly why: string }
  | { readonly is: "closed"; readonly since: Date; readonly why: string };

/** Something that went wrong, and that no promise reports. */
export type Problem =
  /** A handler threw `error`. */
  | { readonly is: "handler_failed"; readonly type: string; readonly error: unknown }
  /** A callback of the options, or a listener, threw `error`. */
  | { readonly is: "callback_failed"; readonly error: unknown }
  /** The connection ended before the reply of a handler. */
  | { readonly is: "reply_dropped"; readonly type: string }
  /** A reply came that no request waits for, for example after its deadline. */
  | { readonly is: "reply_unexpected"; readonly type: string }
  /** A message of this client, which was not a request, failed at the server. */
  | { readonly is: "peer_failed"; readonly type: string; readonly code: string; readonly message: string }
  /** A message is not an envelope, and there is no `onRaw`. */
  | { readonly is: "envelope_rejected"; readonly why: string }
  /** A message has a type that is not in the protocol, and there is no `onUnknown`. */
  | { readonly is: "message_ignored"; readonly type: string }
  /** Kept messages of the server are lost: those with the numbers `from` to `to`. */
  | { readonly is: "delivery_gap"; readonly from: number; readonly to: number; readonly why: string }
  /** A kept message was not handled: it is `expired` or `dropped`, or has the server's code. */
  | { readonly is: "delivery_failed"; readonly type: string; readonly code: string; readonly message: string }
  /** IndexedDB failed, or is not available. Kept messages are then in memory. */
  | { readonly is: "store_failed"; readonly error: unknown };

/** A WebSocket, as browsers and the npm package `ws` have it. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** The options of a client. Times are in milliseconds. */
export interface Options<S extends Messages> extends Partial<Settings> {
  /**
   * The URL of the server, or a function that is called at each attempt, for example for a fresh
   * token. A page may give a path, such as `/ws`.
   */
  readonly url: string | URL | (() => string | URL | Promise<string | URL>);
  readonly handlers: Handlers<S>;
}

/** The options that have defaults. */
export interface Settings {
  /** The class of WebSockets; default `globalThis.WebSocket`. Node 20 needs that of `ws`. */
  readonly WebSocket: new (url: string) => Socket;
  /** The waits before attempts. */
  readonly backoff: Partial<Backoff>;
  /** Returns a random number from 0 to 1, which varies a wait; default `Math.random`. */
  readonly random: () => number;
  /**
   * After `interval` without a message, the client asks for a sign of life. Without one within
   * `timeout`, the connection ends. Default 25,000 and 10,000; `null` is never.
   *
   * Too low: a timeout below the slowest round trip ends healthy connections. Too high: a link that
   * died silently is noticed late.
   */
  readonly heartbeat: { readonly interval: number; readonly timeout: number } | null;
  /** How long an attempt may take, with the function of `url`; default 10,000. */
  readonly handshakeTimeout: number;
  /** How long a request waits for its reply; default 10,000. */
  readonly requestTimeout: number;
  /**
   * Maximum number of outstanding requests, and of handlers whose promises are pending; default
   * 1,024. A further request of this client fails with `full`. One of the server is answered with
   * `busy`, and a further message ends the connection with code 4013.
   */
  readonly maxRequests: number;
  /**
   * Maximum number of bytes that wait for the network; default 4 MiB. Then `send` fails with
   * `full`. Replies and acknowledgements may take as much again. A connection that needs more ends.
   */
  readonly maxBufferedBytes: number;
  /** Maximum number of kept messages that wait for the server; default 10,000. */
  readonly outboxMessages: number;
  /** Maximum length of these messages, in characters; default 4 Mi. */
  readonly outboxLength: number;
  /**
   * Opens the store of kept messages, such as `indexedDb("box-7")` of `store.ts`; default
   * `undefined`, which keeps them in memory. If it fails, they are in memory too.
   */
  readonly store: (() => Promise<OpenedStore>) | undefined;
  /** Whether the server learns that a message of its own has failed here; default `true`. */
  readonly reportFailures: boolean;
  /** Learns of each state, also of the first one. */
  readonly onState: (state: State) => void;
  /** Receives what is not an envelope: a text, or the bytes of a binary message. */
  readonly onRaw: ((data: string | ArrayBuffer, why: string) => void) | undefined;
  /** Receives messages with a type that is not in the protocol. */
  readonly onUnknown: ((type: string, data: unknown) => void) | undefined;
  /** Learns of each problem; default `console.warn`. */
  readonly onProblem: (problem: Problem) => void;
}

const MIB = 1024 * 1024;

/** All settings, with the defaults of those that the program does not give. */
type Resolved = Settings & { readonly backoff: Backoff; readonly url: Options<Messages>["url"] };

function resolve<S extends Messages>(options: Options<S>): Resolved {
  return {
    WebSocket: (globalThis as any).WebSocket,
    random: Math.random,
    heartbeat: { interval: 25_000, timeout: 10_000 },
    handshakeTimeout: 10_000,
    requestTimeout: 10_000,
    maxRequests: 1_024,
    maxBufferedBytes: 4 * MIB,
    outboxMessages: 10_000,
    outboxLength: 4 * MIB,
    store: undefined,
    reportFailures: true,
    onState: () => {},
    onRaw: undefined,
    onUnknown: undefined,
    onProblem: (problem) => console.warn("wsx:", problem),
    ...options,
    backoff: { ...DEFAULT_BACKOFF, ...options.backoff },
  };
}

// ---- errors ----

// The errors of a client. Each has a `code`, for a program that acts on it.

class CodedError<C> extends Error {
  constructor(
    override readonly name: string,
    readonly code: C,
    message: string,
  ) {
    super(message);
  }
}

/**
 * A message was not sent.
 *
 * - `not_connected`: the client has no connection now.
 * - `closed`: the client is closed, or the server wants a newer page.
 * - `full`: `maxBufferedBytes` wait for the network, so await `client.drained()`. Or `maxRequests`
 *   wait for their replies.
 * - `outbox_full`: the outbox does not have room for one more kept message.
 * - `store`: IndexedDB did not take a kept message.
 * - `not_json`: the data has a number that JSON cannot carry, or is not data at all.
 */
export class SendError extends CodedError<
  "not_connected" | "closed" | "full" | "outbox_full" | "store" | "not_json"
> {
  constructor(code: SendError["code"], message: string) {
    super("SendError", code, message);
  }
}

/**
 * A request did not get its reply.
 *
 * - Not sent: the codes of `SendError`.
 * - `timed_out`, `cancelled`, `ended` (the connection ended): the server may have handled it.
 * - `bad_reply`: the reply has another type than the protocol says.
 * - Of the server: `not_handled`, `bad_data`, `failed`, `busy`, `expired`, `no_reply`, the type of a
 *   refusal, or another text. `busy` and `expired` were not started.
 */
export class RequestError extends CodedError<string> {
  constructor(
    code: string,
    /** The type of the request. */
    readonly type: string,
    why: string,
    /** The data of a refusal. `client.refusal` returns it with its type. */
    readonly data?: unknown,
  ) {
    super("RequestError", code, `the request "${type}" ${why}`);
  }
}

/**
 * A kept message was not handled.
 *
 * - `failed`: the handler of the server failed, with `peerCode`. The message is not sent again.
 * - `expired`: the `ttl` was over. `dropped`: it made room for newer ones. `superseded`: a newer value
 *   has replaced it. The server may have handled it if it was sent.
 * - `ended`: the client was closed. A store still has the message.
 */
export class DeliveryError extends CodedError<"failed" | "expired" | "dropped" | "superseded" | "ended"> {
  constructor(
    code: DeliveryError["code"],
    type: string,
    why: string = code,
    readonly peerCode?: string,
  ) {
    super("DeliveryError", code, `the message "${type}" was not handled: ${why}`);
  }
}

/** A refusal, which the handler of a request returns in place of the reply. */
export class Refused<D> {
  declare readonly isRefused: true;
  constructor(readonly data: D) {}
}

/** Returns a refusal with this data: `return refuse({ until: 90 })`. */
export function refuse<D>(data: D): Refused<D> {
  return new Refused(data);
}

/** The text of any value that was thrown, cut at 512 characters. */
function textOf(error: unknown): string {
  return String(error instanceof Error ? error.message : error).slice(0, 512);
}

// ---- requests ----

// The requests of this client that wait for their replies. It does not know sockets.

/** How a request waits. */
export interface Asking {
  /** How long it waits, in milliseconds; `Infinity` is without a limit. */
  readonly timeout?: number;
  /** Cancels the request. */
  readonly signal?: AbortSignal;
}

/** The longest time that a timer of JavaScript can wait, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

interface Pending {
  readonly reply: string;
  readonly resolve: (data: unknown) => void;
  readonly reject: (code: string, why: string, data?: unknown) => void;
}

/** Returns the table of the requests of a client. */
function newRequests() {
  const pending = new Map<unknown, Pending>();
  let lastId = 0;
  return {
    size: () => pending.size,

    /** Waits for the reply. `send` sends the request with this id, and may throw. */
    ask(
      type: string,
      reply: string,
      timeout: number,
      signal: AbortSignal | undefined,
      send: (id: number) => void,
      cancel: (id: number) => void,
    ): Promise<unknown> {
      const id = ++lastId;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const abort = () => {
        cancel(id);
        pending.get(id)?.reject("cancelled", "was cancelled");
      };
      return new Promise<unknown>((resolve, rejectWith) => {
        const reject = (code: string, why: string, data?: unknown) =>
          rejectWith(new RequestError(code, type, why, data));
        if (signal?.aborted) return reject("cancelled", "was cancelled");
        send(id);
        pending.set(id, { reply, resolve, reject });
        signal?.addEventListener("abort", abort);
        if (timeout <= LONGEST) timer = setTimeout(() => reject("timed_out", "got no reply"), timeout);
      }).finally(() => {
        pending.delete(id);
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      });
    },

    /** Hands a reply over. Returns whether a request has waited for it. */
    answer(
      id: unknown,
      type: string,
      data: unknown,
      failure: { code: string; message: string; data?: unknown } | null,
    ): boolean {
      const asked = pending.get(id);
      if (!asked) return false;
      const { reply, resolve, reject } = asked;
      if (failure) reject(failure.code, `failed with ${failure.code}: ${failure.message}`, failure.data);
      else if (type === reply) resolve(data);
      else reject("bad_reply", `got "${type}", not "${reply}"`);
      return true;
    },

    /** The connection has ended, and with it every request. */
    end(why: string): void {
      for (const { reject } of pending.values()) reject("ended", `lost its connection: ${why}`);
      pending.clear();
    },
  };
}

// ---- handling ----

// Runs the handlers of received messages and requests. It does not know where they come from.

type AnyHandler = (data: unknown, context: Context) => unknown;

/** What a client knows of the types that it receives. */
type AnySide = Side<{ sends: {}; requests: {}; receives: {}; answers: {} }> & {
  readonly answers: Record<string, { reply: string; refusal: string | null }>;
};

/** A failure that the peer is told. */
interface Failed {
  readonly code: string;
  readonly message?: string;
  readonly data?: unknown;
}

/** Returns what runs the handlers of a client. */
function newHandling(
  { receives, answers }: AnySide,
  handlers: Record<string, AnyHandler>,
  { maxRequests, onUnknown }: Resolved,
  problem: (problem: Problem) => void,
) {
  /** The handlers that the program has added, by type. */
  const added = new Map<string, Set<AnyHandler>>();
  /** The requests of the server that are handled, by their ids. */
  const requests = new Map<string, AbortController>();
  let ended = new AbortController();
  /** How many handlers are pending. */
  let pending = 0;

  /** Whether one more handler may be pending. */
  const hasRoom = () => pending < maxRequests;

  // A peer may send any type, also one that every object has.
  const known = new Map<string, AnyHandler>();
  for (const type of Object.keys({ ...receives, ...answers })) {
    known.set(type, (...given) => handlers[type]!(...given));
  }

  /** Runs a callback of the program, which may throw. */
  function guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      problem({ is: "callback_failed", error });
    }
  }

  /** Shows a message without a handler to the program. Returns its failure. */
  function ignored(type: string, data: unknown): Failed {
    if (onUnknown) guard(() => onUnknown(type, data));
    else problem({ is: "message_ignored", type });
    return { code: "not_handled", message: "no handler takes this type" };
  }

  /** Shows the error of a handler to the program. Returns its failure. */
  function failed(type: string, error: unknown): Failed {
    problem({ is: "handler_failed", type, error });
    return { code: "failed", message: textOf(error) };
  }

  return {
    hasRoom,
    guard,

    add(type: string, listener: AnyHandler): () => void {
      // A set would take a function that is added twice for one.
      const own: AnyHandler = (...given) => listener(...given);
      const all = added.get(type) ?? new Set();
      added.set(type, all.add(own));
      return () => void all.delete(own);
    },

    replace(type: string, answerer: AnyHandler): void {
      known.set(type, answerer);
    },

    /** Runs the handlers of a message. Returns the failure, if one failed. */
    async message({ type, ts, data }: Envelope, delivered?: Context["delivered"]): Promise<Failed | undefined> {
      const handler = known.get(type);
      if (!handler) return ignored(type, data);
      const context = { type, ts, signal: ended.signal, delivered };
      let failure: Failed | undefined;
      pending++;
      for (const each of [handler, ...(added.get(type) ?? [])]) {
        try {
          await each(data, context);
        } catch (error) {
          failure = failed(type, error);
        }
      }
      pending--;
      return failure;
    },

    /** Runs the handler of a request. Returns the type and the rest of the reply, as JSON. */
    async request({ type, ts, data, id, ttl }: Envelope): Promise<{ type: string; rest: string }> {
      const re = `"re":${stringify(id)},`;
      const fail = (failure: Failed) => ({ type: type.slice(0, 128), rest: `${re}"err":${stringify(failure)}` });
      const handler = known.get(type);
      if (ttl === 0) return fail({ code: "expired" });
      if (!handler) return fail(ignored(type, data));
      if (!hasRoom()) return fail({ code: "busy" });
      const key = String(id);
      const controller = new AbortController();
      const { signal } = controller;
      requests.set(key, controller);
      pending++;
      try {
        const result = await handler(data, { type, ts, signal });
        const { reply, refusal } = answers[type] ?? {};
        if (!reply || result === undefined) return fail({ code: "no_reply" });
        if (result instanceof Refused) return fail({ code: refusal!, message: "refused", data: result.data });
        return { type: reply, rest: `${re}"data":${stringify(result)}` };
      } catch (error) {
        return fail(failed(type, error));
      } finally {
        pending--;
        if (requests.get(key) === controller) requests.delete(key);
      }
    },

    /** The server does not wait for the reply any more. */
    cancel(id: unknown): void {
      requests.get(String(id))?.abort();
    },

    /** The connection has ended. Nobody waits for the replies. */
    end(): void {
      ended.abort();
      ended = new AbortController();
      requests.forEach((request) => request.abort());
      requests.clear();
    },
  };
}

// ---- link ----

// The connection: dials, notices when the link is dead, waits, and dials again. It does not know
// messages.
//
//              opened                 ended
// connecting ---------> connected ------------> waiting
//      ^  |                                       |  ^
//      |  +---------------- failed ---------------|--+
//      +---------------- delay over --------------+
//
// dial: from waiting, connecting and connected to connecting, without a delay.
// outdated: from connected, when the server closes with 4426. closed: from any state.

/** The server closes with this code if another connection with the same id has replaced this one. */
const REPLACED = 4000;
/** The server closes with this code if this page is too old for it. */
const OUTDATED = 4426;
/** This client closes with this code if it and the server cannot keep up with each other. */
const OVERLOADED = 4013;
/** How long an event may wait behind a timer that fires at the same moment, in milliseconds. */
const EVENTS_FIRST = 100;
/** How long `close` waits for the server, in milliseconds. */
const CLOSE_TIMEOUT = 10_000;

/** What the link reports. `connection` stands for one connection. */
interface LinkEvents {
  state(state: State): void;
  opened(connection: object): void;
  received(connection: object, data: string | ArrayBuffer): void;
  ended(why: string): void;
  /** Asks the server for a sign of life. */
  probe(): void;
}

/** Returns the link of a client. It does nothing until `dial`. */
function newLink(options: Resolved, query: string, events: LinkEvents) {
  const { backoff, random, heartbeat, handshakeTimeout, url: given, WebSocket: Class } = options;
  let down = { since: new Date(), why: "" };
  let state: State = { is: "connecting", attempt: 1, ...down };
  /** The socket of the attempt or of the connection. */
  let socket: Socket | undefined;
  /** The same, once it is open. */
  let connection: Socket | undefined;
  /** Counts attempts, so that a late event of an earlier one is known. */
  let turn = 0;
  let failures = 0;
  let openedAt = 0;
  /** When the last message was received. */
  let heardAt = 0;
  /** When the client last asked for a sign of life. */
  let askedAt = 0;
  /** The end of the wait, of the attempt, or of the silence. */
  let timer: ReturnType<typeof setTimeout> | undefined;

  const isOver = () => state.is === "closed" || state.is === "outdated";
  const stopWatching = watchPage({
    check,
    back: () => (state.is === "waiting" ? dial() : check()),
    suspend,
    resume: () => isOver() || dial(),
  });

  function set(next: State): void {
    state = next;
    events.state(next);
  }

  function wait(milliseconds: number, then: () => void): void {
    clearTimeout(timer);
    timer = setTimeout(then, milliseconds);
  }

  /** Begins an attempt. Gives an earlier one up, and a connection too. */
  function dial(): void {
    abandon("dialled again");
    const own = turn;
    set({ is: "connecting", attempt: failures + 1, ...down });
    // The program may have closed the client when it saw the state.
    if (own !== turn) return;
    wait(handshakeTimeout, () => end("no answer in time"));
    address()
      .then((url) => own === turn && open(url))
      .catch((error) => own === turn && end(textOf(error)));
  }

  async function address(): Promise<string> {
    const url = new URL(typeof given === "function" ? await given() : given, (globalThis as any).location?.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.search += (url.search ? "&" : "?") + query;
    url.hash = "";
    return url.href;
  }

  function open(url: string): void {
    const own = turn;
    if (!Class) throw new Error("there is no WebSocket: give it as an option");
    const opening = (socket = new Class(url));
    opening.binaryType = "arraybuffer";
    // Browsers do not say more than that there was an error; the close follows.
    opening.onerror = () => {};
    opening.onopen = () => {
      if (own !== turn) return;
      connection = opening;
      openedAt = heardAt = performance.now();
      listen();
      events.opened(opening);
      set({ is: "connected", since: new Date(), why: "" });
    };
    opening.onmessage = ({ data }) => {
      if (own !== turn) return;
      const isAnswer = askedAt > heardAt;
      heardAt = performance.now();
      if (isAnswer) listen();
      events.received(opening, data);
    };
    opening.onclose = ({ code, reason }) => {
      if (own === turn) end(whyOf(code, reason, !!connection), code);
    };
  }

  /** Notes the end of an attempt or a connection, and waits. */
  function end(why: string, code?: number): void {
    const replaced = connection && code === REPLACED;
    abandon(why);
    down = { ...down, why };
    if (code === OUTDATED) return stop({ is: "outdated", ...down });
    const own = turn;
    const pause = replaced ? delayReplaced(backoff, random()) : delay(backoff, failures, random());
    set({ is: "waiting", attempt: ++failures, delay: pause, ...down });
    if (own === turn) wait(pause, dial);
  }

  /** Leaves the present attempt or connection, without a word of its later events. */
  function abandon(why: string): void {
    const wasOpen = connection;
    const left = socket;
    turn++;
    clearTimeout(timer);
    socket = connection = undefined;
    left?.close();
    if (!wasOpen) return;
    if (performance.now() - openedAt >= backoff.stableAfter) failures = 0;
    down = { since: new Date(), why };
    events.ended(why);
  }

  /** Something has happened to the network or the page, so a connection has to prove itself. */
  function check(): void {
    if (connection && heartbeat && askedAt <= heardAt) probe();
  }

  /** The page may be frozen, so the connection is not read. */
  function suspend(): void {
    if (isOver()) return;
    abandon("the page is not shown");
    set({ is: "waiting", attempt: failures, delay: Infinity, ...down });
  }

  function stop(next: State): void {
    stopWatching();
    set(next);
  }

  /** Waits for a silence. */
  function listen(): void {
    if (!heartbeat) return clearTimeout(timer);
    const left = heardAt + heartbeat.interval - performance.now();
    wait(Math.max(left, 0), left > 0 ? listen : probe);
  }

  /** Asks for a sign of life. Without one, the connection ends. */
  function probe(): void {
    askedAt = performance.now();
    events.probe();
    // A page that was stopped has expired timers and unread messages.
    const silent = () => wait(EVENTS_FIRST, () => end("the server is silent"));
    if (connection) wait(heartbeat!.timeout, silent);
  }

  return {
    dial,
    isOver,
    state: () => state,
    connection: () => connection,

    /** Sends a text. Returns whether it was within this many bytes. */
    write(text: string, limit: number): boolean {
      if (!connection || connection.bufferedAmount + text.length > limit) return false;
      connection.send(text);
      return true;
    },

    /** Closes the connection with 4013, and dials again after a wait. */
    fail(why: string): void {
      socket?.close(OVERLOADED, why);
      end(why);
    },

    /** Closes the connection for good, with 1000. Returns when the server has answered. */
    async close(): Promise<void> {
      const why = "closed by the program";
      const closing = connection;
      if (isOver()) return;
      closing?.close(1000);
      abandon(why);
      stop({ is: "closed", since: new Date(), why });
      if (!closing) return;
      await new Promise((resolve) => {
        closing.onclose = resolve;
        timer = setTimeout(resolve, CLOSE_TIMEOUT);
      });
      clearTimeout(timer);
    },
  };
}

function whyOf(code: number, reason: string, wasOpen: boolean): string {
  if (!wasOpen) return "the server cannot be reached";
  return code === 1006 ? "the link broke" : `the server closed with ${code} ${reason}`.trim();
}

/** Reports what happens to the page. Returns the function that stops it. Node has no page. */
function watchPage(on: { check(): void; back(): void; suspend(): void; resume(): void }): () => void {
  const page = globalThis as any;
  if (!page.document) return () => {};
  const seen = () => page.document.visibilityState === "visible" && on.back();
  const listeners: [any, string, (event: any) => void][] = [
    [page, "online", on.back],
    [page, "offline", on.check],
    [page.document, "visibilitychange", seen],
    [page, "pagehide", (event) => event.persisted && on.suspend()],
    [page, "pageshow", (event) => event.persisted && on.resume()],
  ];
  for (const [target, name, listener] of listeners) target.addEventListener(name, listener);
  return () => {
    for (const [target, name, listener] of listeners) target.removeEventListener(name, listener);
  };
}

// ---- backoff ----

// How long a client waits before it dials again: pure functions of the number of failures and a
// random number. They are those of the Rust client.

/** The waits of a client that reconnects. Times are in milliseconds. */
export interface Backoff {
  /** The wait before the second attempt; default 500. */
  readonly initial: number;
  /** Each wait is this many times as long as the previous one; default 1.8. */
  readonly factor: number;
  /** Maximum wait; default 30,000. A client that was replaced waits for at least half of it. */
  readonly max: number;
  /** A connection that lasted this long starts the waits again from `initial`; default 5,000. */
  readonly stableAfter: number;
}

/** The waits that a client has if the program does not set others. */
const DEFAULT_BACKOFF: Backoff = { initial: 500, factor: 1.8, max: 30_000, stableAfter: 5_000 };

/** Returns the wait after this many failures in a row: ± 50 %, by a random number from 0 to 1. */
function delay({ initial, factor, max }: Backoff, failures: number, random: number): number {
  const base = Math.min(initial * factor ** failures, max);
  const low = base * 0.5;
  return low + (Math.min(base * 1.5, max) - low) * random;
}

/** Returns the wait after a close with 4000, from half of the longest wait to all of it. */
function delayReplaced({ max }: Backoff, random: number): number {
  return max * (0.5 + 0.5 * random);
}

// ---- delivery ----

// Kept messages in both directions: joins outbox, inbox and store to a connection.

/** Maximum length of an epoch. */
const MAX_EPOCH = 64;

/** What delivery needs of its client. */
interface DeliveryEvents {
  handle: InboxEvents["handle"];
  problem(problem: Problem): void;
  /** Sends a text on the present connection. */
  write(text: string): void;
}

/** Returns the delivery of a client. */
function newDelivery(options: Resolved, { handle, problem, write }: DeliveryEvents) {
  /** Without a store, kept messages are in memory alone. */
  let store: Store = { write: async () => {}, close() {} };
  let isDurable = false;
  let outbox: ReturnType<typeof newOutbox>;
  let current: object | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isClosed = false;
  const inbox = newInbox({
    handle,
    gap: (from, to, why) => problem({ is: "delivery_gap", from, to, why }),
    keep: (epoch, value) => keepRecords([[`in ${epoch}`, value]]),
    acknowledge(connection, ack) {
      if (connection === current) write(writeEnvelope("delivery", `"ack":${JSON.stringify(ack)}`));
    },
  });
  const ready = open();

  async function open(): Promise<void> {
    let records: readonly StoreRecord[] = [];
    try {
      const opened = await options.store?.();
      isDurable = !!opened;
      if (opened) ({ store, records } = opened);
    } catch (error) {
      problem({ is: "store_failed", error });
    }
    const having = (prefix: string) => records.filter(([key]) => key.startsWith(prefix));
    const epoch = String(having("epoch")[0]?.[1] ?? newEpoch());
    const now = performance.now();
    outbox = newOutbox(epoch, options.outboxMessages, options.outboxLength, Date.now() - now, (type, code, message) =>
      problem({ is: "delivery_failed", type, code, message }),
    );
    outbox.load(having("out ").map(([, value]) => value));
    for (const [key, value] of having("in ")) inbox.load(key.slice(3), value);
    await keepRecords([["epoch", epoch]]);
  }

  /** Sends what may be sent, stores what has changed, and waits for the next message to expire. */
  function pump(): void {
    const now = performance.now();
    outbox.expire(now);
    for (let next; current && (next = outbox.next()); ) write(writeEnvelope(next.type, next.rest, next.at));
    const records = outbox.takeRecords();
    if (records.length) void keepRecords(records);
    clearTimeout(timer);
    const wait = outbox.nextExpiry() - now;
    // What has expired and stays is on its way.
    if (wait > 0 && wait < Infinity && !isClosed) timer = setTimeout(pump, Math.min(wait, LONGEST));
  }

  /** Writes records that may be lost: what they say is found out again on the next connection. */
  async function keepRecords(records: readonly StoreRecord[]): Promise<void> {
    try {
      await store.write(records);
    } catch (error) {
      problem({ is: "store_failed", error });
    }
  }

  function acknowledged(ack: any): void {
    const failed = [ack.failed ?? []].flat().map((failure) => ({
      ...readFailure(failure),
      lane: failure?.latest ? LATEST : SEQ,
      number: numberOr0(failure?.latest ?? failure?.seq),
    }));
    outbox.acknowledge({ numbers: [numberOr0(ack.seq), numberOr0(ack.latest)], failed });
    pump();
  }

  return {
    /** Resolves when the store was read. Nothing is sent or received before. */
    ready,

    /** Whether kept messages outlive the program. */
    isDurable: () => isDurable,

    /** The number of messages that wait for the server. */
    waiting: () => outbox?.waiting() ?? 0,

    /** Acknowledges what was handled, before a close. */
    conclude: inbox.conclude,

    /** Keeps a message. Returns when it is accepted. `done` is called when it is handled, or not. */
    async keep(type: string, policy: Policy, key: string, text: string, done: Waiting["done"]): Promise<void> {
      await ready;
      if (isClosed) throw new SendError("closed", "the client is closed");
      const message = outbox.accept(type, policy, key, text, Math.floor(Date.now() / 1000), performance.now());
      message.done = done;
      // In one write with those that it drops.
      const records = [...outbox.takeRecords(), outbox.record(message)];
      try {
        await store.write(records);
      } catch (error) {
        outbox.refused(message);
        throw new SendError("store", `the store failed: ${textOf(error)}`);
      }
      outbox.stored(message);
      pump();
    },

    /** A connection was opened. */
    attach(connection: object): void {
      current = connection;
      outbox.attach();
      pump();
    },

    /** The connection has ended. */
    detach(): void {
      current = undefined;
      outbox.detach();
      pump();
    },

    /** Takes an envelope of delivery. Returns `false` if it is a plain message. */
    take(connection: object, envelope: Envelope): boolean {
      const { seq, ack } = envelope;
      const numbered = numberOf(envelope);
      if (numbered) {
        inbox.message(connection, ...numbered, envelope);
      } else if (isObject(seq)) {
        const { epoch, first, last, skip, why = "unknown" } = seq;
        const [from = 0, to = 0] = [skip ?? []].flat().map(numberOr0);
        if (typeof epoch !== "string" || epoch.length > MAX_EPOCH) return true;
        if (!skip) inbox.begin(connection, epoch, numberOr0(first), numberOr0(last));
        else if (from && from <= to) inbox.skip(connection, from, to, String(why));
      } else if (isObject(ack)) {
        if (ack.epoch === outbox.epoch) acknowledged(ack);
      } else {
        return false;
      }
      return true;
    },

    /** Ends delivery. What waits stays in the store. */
    async close(): Promise<void> {
      isClosed = true;
      await ready;
      clearTimeout(timer);
      outbox.end();
      store.close();
    },
  };
}

/** Returns a random text of less than 64 characters. */
const newEpoch = () => `${Math.random()}${Math.random()}`;

// ---- outbox ----

// The kept messages that wait for the server, their numbers, and which of them is sent next. It
// knows neither sockets, clocks nor the store: the caller passes the time, and writes the records.

/** `SEQ` has the messages that all count, and `LATEST` the newest ones. */
const SEQ = 0;
const LATEST = 1;
/**
 * How many messages may be unacknowledged, and how many characters. The server acknowledges 16 at
 * once, so a page sends about 300 in a second over a round trip of 100 ms. On a link of 64 kbit/s, a
 * backlog delays other messages by 2 s.
 */
const WINDOW = 32;
const WINDOW_LENGTH = 16 * 1024;

/** Messages that are never sent: from a number to the next message that waits. */
interface Lost {
  readonly from: number;
  readonly why: string;
}

/** A message that waits, or a state that the server has handled. */
interface Waiting {
  number: number;
  /** The messages before it that are lost. */
  gap: Lost | undefined;
  readonly type: string;
  /** Messages of `latest` and `state` with the same slot replace each other. */
  readonly slot: string;
  /** The JSON of the data. */
  readonly text: string;
  /** When it was accepted, in seconds since 1970. */
  readonly at: number;
  readonly isState: boolean;
  /** Whether it is a state that the server has handled. It stays for a server that forgets it. */
  isSettled: boolean;
  /** When it expires, on the caller's clock. */
  expires: number;
  /** Whether the store has it, so that it may be sent. */
  isStored: boolean;
  /** Reports the end: handled, or the reason why not. */
  done?: ((error?: DeliveryError) => void) | undefined;
}

/** What an acknowledgement says. The caller has checked its types. */
interface Acknowledgement {
  readonly numbers: readonly [number, number];
  readonly failed: readonly { lane: number; number: number; code: string; message: string }[];
}

/** Returns the outbox of a client, which has nothing in it. `failed` learns what was not handled. */
function newOutbox(
  epoch: string,
  maxMessages: number,
  maxLength: number,
  /** The wall clock minus the caller's clock, in milliseconds. */
  wallClock: number,
  failed: (type: string, code: string, message: string) => void,
) {
  /** Both lanes, in the order of their numbers. */
  const lanes: [Waiting[], Waiting[]] = [[], []];
  let last: [number, number] = [0, 0];
  /** The `gap` of the next message. */
  let gap: Lost | undefined;
  /** What changed and is not in the store. */
  const records: StoreRecord[] = [];

  let isAttached = false;
  /** Whether the server knows the epoch. */
  let hasBegun = false;
  /** Whether it has said where to resume. */
  let isResumed = false;
  /** The last numbers that were sent or explained on this connection, and that it has acknowledged. */
  let sent: [number, number] = [0, 0];
  let acknowledged: [number, number] = [0, 0];

  /** Returns the messages that wait. */
  const waiting = () => lanes.flat().filter(({ isSettled }) => !isSettled);

  /** Whether a message was sent on this connection. */
  const isSent = (message: Waiting) => message.number <= sent[laneOf(message)];

  /** Returns the record of a message. */
  function record(message: Waiting): StoreRecord {
    const { done, isStored, expires, ...value } = message;
    return [keyOf(message), { ...value, wall: expires + wallClock }];
  }

  function remove(message: Waiting): void {
    const lane = lanes[laneOf(message)];
    const at = lane.indexOf(message);
    if (at < 0) return;
    lane.splice(at, 1);
    records.push([keyOf(message), undefined]);
  }

  /** Ends a message that was not handled. */
  function lose(message: Waiting, code: DeliveryError["code"], why: string = code, peerCode?: string): void {
    if (code !== "superseded") failed(message.type, peerCode ?? code, why);
    message.done?.(new DeliveryError(code, message.type, why, peerCode));
  }

  /** Removes a message that leaves without being handled. The server learns why its number is missing. */
  function leave(message: Waiting, code: "expired" | "dropped", why: string): void {
    const next = lanes[SEQ].find(({ number }) => number > message.number);
    const before = message.gap ?? { from: message.number, why };
    const after = (next ? next.gap : gap) ?? before;
    const all = { from: before.from, why: before.why === why && after.why === why ? why : "unknown" };
    remove(message);
    if (laneOf(message) === LATEST) {
      // A newer value may replace it, so its number is not missed.
    } else if (next) {
      next.gap = all;
      records.push(record(next));
    } else {
      gap = all;
    }
    lose(message, code);
  }

  /** Makes room for a message, which may replace older ones, or drop the oldest of its type. */
  function makeRoom(message: Waiting, { full }: Policy): void {
    const older = lanes[LATEST].filter(({ slot }) => slot === message.slot);
    const rest = () => lanes.flat().filter((other) => !older.includes(other));
    const fits = (others: Waiting[]) =>
      others.filter(({ isSettled }) => !isSettled).length < maxMessages && sizeOf([message, ...others]) <= maxLength;
    const mayLeave = full === "drop_oldest" ? lanes[SEQ].filter(({ type }) => type === message.type) : [];
    if (!fits(rest().filter((other) => !mayLeave.includes(other)))) {
      throw new SendError("outbox_full", "the outbox is full");
    }
    // Those on their way come last, because the server may handle them.
    mayLeave.sort((a, b) => Number(isSent(a)) - Number(isSent(b)));
    while (!fits(rest())) leave(mayLeave.shift()!, "dropped", "full");
  }

  const control = (value: object): { type: string; rest: string; at?: number } => ({
    type: "delivery",
    rest: `"seq":${JSON.stringify({ epoch, ...value })}`,
  });

  function sendMessage(lane: 0 | 1, message: Waiting) {
    const { number, type, at, text, isState } = message;
    const isFull = number - acknowledged[lane] > WINDOW || sizeOf([...waiting().filter(isSent), message]) > WINDOW_LENGTH;
    // One message always may be on its way. A value that was superseded on its way counts too.
    if (isFull && (sent[SEQ] > acknowledged[SEQ] || sent[LATEST] > acknowledged[LATEST])) return undefined;
    sent[lane] = number;
    return { type, at, rest: `"${lane === SEQ ? "seq" : isState ? "state" : "latest"}":${number},"data":${text}` };
  }

  return {
    epoch,
    record,

    /** The number of messages that wait. */
    waiting: () => waiting().length,

    /** Adds a message. Throws `outbox_full` if there is no room. The store does not have it yet. */
    accept(type: string, policy: Policy, key: string, text: string, at: number, now: number): Waiting {
      const { delivery, ttl = Infinity } = policy;
      const message: Waiting = {
        number: 0,
        gap: undefined,
        type,
        slot: delivery === "at_least_once" ? "" : `${type} ${key}`,
        text,
        at,
        isState: delivery === "state",
        isSettled: false,
        expires: now + ttl,
        isStored: false,
      };
      makeRoom(message, policy);
      const lane = laneOf(message);
      message.number = ++last[lane];
      if (lane === SEQ) [message.gap, gap] = [gap, undefined];
      lanes[lane].push(message);
      return message;
    },

    /** Notes that the store has a message. It may be sent, and replaces the older ones of its slot. */
    stored(message: Waiting): void {
      message.isStored = true;
      for (const other of lanes[LATEST].filter(({ slot, number }) => slot === message.slot && number < message.number)) {
        remove(other);
        lose(other, "superseded");
      }
    },

    /** Takes back a message that the store did not take. */
    refused: remove,

    /** Begins a connection. Nothing was sent on it. */
    attach(): void {
      isAttached = true;
    },

    /** Ends the connection. What was not acknowledged is sent again on the next one. */
    detach(): void {
      isAttached = hasBegun = isResumed = false;
      sent = [0, 0];
    },

    /** Returns the envelope that is sent next, as JSON without its beginning, if one may be sent. */
    next(): ReturnType<typeof control> | undefined {
      if (!isAttached) return undefined;
      if (!hasBegun) {
        hasBegun = !!gap || lanes.flat().some(({ isStored }) => isStored);
        return hasBegun ? control({ first: lanes[SEQ][0]?.number ?? last[SEQ] + 1, last: last[SEQ] }) : undefined;
      }
      if (!isResumed) return undefined;
      const newest = lanes[LATEST].find(({ number }) => number > sent[LATEST]);
      if (newest?.isStored) return sendMessage(LATEST, newest);
      const following = lanes[SEQ].find(({ number }) => number > sent[SEQ]);
      // After a crash, lower numbers than that of a message may be given away.
      if (following && !following.isStored) return undefined;
      const from = sent[SEQ] + 1;
      const to = following ? following.number - 1 : last[SEQ];
      if (to < from) return following && sendMessage(SEQ, following);
      const lost = (following ? following.gap : gap) ?? { from: to + 1, why: "void" };
      // Numbers before those that are lost were handled, or never were messages.
      const isLost = lost.from <= from;
      sent[SEQ] = isLost ? to : lost.from - 1;
      return control({ skip: [from, sent[SEQ]], why: isLost ? lost.why : "void" });
    },

    /** Takes an acknowledgement. The first one of a connection says where to resume. */
    acknowledge({ numbers, failed }: Acknowledgement): void {
      if (!hasBegun) return;
      if (isResumed) {
        acknowledged = [Math.min(numbers[SEQ], sent[SEQ]), Math.min(numbers[LATEST], sent[LATEST])];
      } else {
        isResumed = true;
        // The store may have lost numbers that were used.
        last = [Math.max(last[SEQ], numbers[SEQ]), Math.max(last[LATEST], numbers[LATEST])];
        // A server that has forgotten everything begins with the lowest number, and gets all states.
        const [first] = lanes[SEQ];
        const lost = first ? first.gap : gap;
        sent = [numbers[SEQ] || (lost?.from ?? first?.number ?? last[SEQ] + 1) - 1, numbers[LATEST]];
        acknowledged = [...sent];
      }
      for (const message of lanes.flat()) {
        const { number, isState, isSettled } = message;
        const lane = laneOf(message);
        // What the server has counted as missing is not explained again.
        if (lane === SEQ && number - 1 <= acknowledged[lane]) message.gap = undefined;
        if (number > acknowledged[lane] || isSettled) continue;
        const failure = failed.find((other) => other.lane === lane && other.number === number);
        if (failure) lose(message, "failed", failure.message, failure.code);
        else message.done?.();
        if (isState) {
          Object.assign(message, { isSettled: true, done: undefined, expires: Infinity });
          records.push(record(message));
        } else remove(message);
      }
      if (acknowledged[SEQ] >= last[SEQ]) gap = undefined;
    },

    /** Removes the messages that have expired, except those on their way. */
    expire(now: number): void {
      for (const message of waiting()) {
        if (message.expires <= now && !isSent(message)) leave(message, "expired", "expired");
      }
    },

    /** Returns when the next message expires, on the caller's clock. */
    nextExpiry: (): number => Math.min(...waiting().map(({ expires }) => expires)),

    /** Ends every message for this program. */
    end: (): void => waiting().forEach(({ done, type }) => done?.(new DeliveryError("ended", type))),

    /** Takes the changes for the store since the last call. */
    takeRecords: (): StoreRecord[] => records.splice(0),

    /** Adds messages that the store had. */
    load(values: any[]): void {
      for (const { wall, ...message } of values.sort((a, b) => a.number - b.number)) {
        const lane = laneOf(message);
        lanes[lane].push({ ...message, expires: wall - wallClock, isStored: true });
        last[lane] = message.number;
      }
    },
  };
}

const laneOf = ({ slot }: Waiting) => (slot ? LATEST : SEQ);

const keyOf = (message: Waiting) => `out ${laneOf(message)} ${message.number}`;

/** The room that messages take: their lengths, and an allowance for the rest. */
const sizeOf = (messages: Waiting[]) => messages.reduce((sum, { text, type }) => sum + text.length + type.length + 64, 0);

// ---- inbox ----

// What this page has handled of the kept messages of the server. It decides which message is
// handled, which one is a duplicate, and where messages are missing. Handlers run one after another.
//
// It knows neither sockets nor the store.

/** Maximum number of messages that wait for a handler. A sender of wsx has at most 1,024 on their way. */
const MAX_AHEAD = 4096;
/** Maximum number of failures that are remembered for an epoch: as many as a window has messages. */
const MAX_FAILURES = 1024;
/** With more failures in an acknowledgement, they have no texts. */
const MAX_TEXTS = 16;
/** How many epochs of a server are remembered: those that were used last. */
const MAX_EPOCHS = 4;
/** After this many handled messages, they are acknowledged. */
const ACKNOWLEDGE_AFTER = 16;
/** Shortest time between two acknowledgements of fewer messages, in milliseconds. */
const ACKNOWLEDGE_EVERY = 100;

/** A message that counts as handled, although its handler failed. */
interface KeptFailure {
  lane: number;
  number: number;
  code: string;
  message?: string;
  /** Whether it was acknowledged on this connection. */
  isKnown: boolean;
}

/** The kept messages of one epoch. */
interface Epoch {
  name: string;
  handled: [number, number];
  /** The last number that the server has announced. */
  announced: number;
  failures: KeptFailure[];
}

/** What the inbox needs of its client. */
interface InboxEvents {
  /** Runs the handlers of a message. Returns the failure, if one failed. */
  handle(
    envelope: any,
    delivered: { epoch: string; number: number },
  ): Promise<{ code: string; message?: string } | undefined>;
  /** Numbers that the server did not send. */
  gap(from: number, to: number, why: string): void;
  /** Makes the handled numbers of an epoch durable, or forgets them. Nothing is acknowledged before. */
  keep(epoch: string, value?: unknown): Promise<void>;
  /** Sends an acknowledgement. Has no effect after the end of the connection. */
  acknowledge(connection: object, ack: object): void;
}

/** Returns the inbox of a client. */
function newInbox({ handle, gap, keep, acknowledge: write }: InboxEvents) {
  /** The epoch that was used last is the last. */
  const epochs = new Map<string, Epoch>();
  /** The epoch that began last, and its connection. */
  let epoch: Epoch | undefined;
  let current: object | undefined;
  let queue: (() => Promise<void> | void)[] = [];
  let isRunning = false;
  let beginWaits = false;
  /** Whether a message was left out, so that the server has to send it again. */
  let isCut = false;
  /** The last number of each lane that was received on this connection, or explained. */
  let received: [number, number] = [0, 0];
  /** Whether no message was received on this connection. */
  let isFirst = true;
  let unacknowledged = 0;
  let acknowledgedAt = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Counts what was received. Returns the epoch, if it is handled now. */
  function start(connection: object): Epoch | undefined {
    if (connection !== current || beginWaits || isCut || !epoch) return undefined;
    // The first message has waited for the answer to the begin, so the server has read that.
    if (isFirst) epoch.failures = epoch.failures.filter(({ isKnown }) => !isKnown);
    isFirst = false;
    return epoch;
  }

  function enqueue(step: () => Promise<void> | void): void {
    queue.push(step);
    if (!isRunning) void run();
  }

  /** Runs what waits, one after another, and answers a begin in between. */
  async function run(): Promise<void> {
    isRunning = true;
    for (;;) {
      if (beginWaits) {
        beginWaits = isCut = false;
        received = [...epoch!.handled];
        isFirst = true;
        await acknowledge();
      }
      const step = queue.shift();
      // A begin may have come meanwhile.
      if (!step && beginWaits) continue;
      if (!step) break;
      await step();
      acknowledgeSoon();
    }
    isRunning = false;
  }

  /** Acknowledges what was handled: at once, or later with what is handled until then. */
  function acknowledgeSoon(): void {
    const wait = acknowledgedAt + ACKNOWLEDGE_EVERY - performance.now();
    if (++unacknowledged >= ACKNOWLEDGE_AFTER || wait <= 0) void acknowledge();
    else timer ??= setTimeout(() => void acknowledge(), wait);
  }

  async function acknowledge(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const connection = current;
    // Before the answer to a begin, the server would take it for that.
    if (!epoch || !connection || beginWaits) return;
    const { name, failures } = epoch;
    const [seq, latest] = epoch.handled;
    unacknowledged = 0;
    acknowledgedAt = performance.now();
    const due = failures.filter(({ isKnown }) => !isKnown);
    for (const failure of due) failure.isKnown = true;
    await keep(name, { handled: [seq, latest], failures: failures.map((failure) => ({ ...failure })) });
    if (connection !== current) return;
    const failed = due.map(({ lane, number, code, message }) => ({
      [lane === LATEST ? "latest" : "seq"]: number,
      code,
      message: due.length > MAX_TEXTS ? undefined : message,
    }));
    write(connection, { epoch: name, seq, latest, failed: failed.length ? failed : undefined });
  }

  return {
    /** Takes the numbers that a store had. */
    load(name: string, { handled, failures }: any): void {
      epochs.set(name, { name, handled, announced: 0, failures });
    },

    /** The server begins: it sends everything after the handled numbers, when it knows them. */
    begin(connection: object, name: string, first: number, last: number): void {
      const known = epochs.get(name);
      const [before, announced] = [epoch?.handled[SEQ] ?? 0, epoch?.announced ?? 0];
      // A server with a new epoch has lost its store.
      if (!known && before < announced) gap(before + 1, announced, "unknown");
      epoch = known ?? { name, handled: [0, 0], announced: 0, failures: [] };
      epochs.delete(name);
      epochs.set(name, epoch);
      for (const oldest of [...epochs.keys()].slice(0, -MAX_EPOCHS)) {
        epochs.delete(oldest);
        void keep(oldest);
      }
      epoch.announced = last;
      epoch.failures = epoch.failures.filter(({ lane, number }) => lane !== SEQ || number >= first);
      for (const failure of epoch.failures) failure.isKnown = false;
      current = connection;
      // What an earlier connection has left comes again.
      queue = [];
      beginWaits = true;
      if (!isRunning) void run();
    },

    /** Takes a numbered message. */
    message(connection: object, lane: 0 | 1, number: number, envelope: unknown): void {
      const epoch = start(connection);
      if (!epoch) return;
      const before = received[lane];
      // The server may not know that it was handled.
      if (number <= before) return acknowledgeSoon();
      if (queue.length >= MAX_AHEAD) isCut = true;
      if (isCut) return;
      if (lane === SEQ && before > 0 && number > before + 1) gap(before + 1, number - 1, "unknown");
      received[lane] = number;
      enqueue(async () => {
        const failure = await handle(envelope, { epoch: epoch.name, number });
        if (failure && epoch.failures.push({ lane, number, isKnown: false, ...failure }) > MAX_FAILURES) {
          epoch.failures.shift();
        }
        epoch.handled[lane] = number;
      });
    },

    /** Takes numbers that the server never sends. */
    skip(connection: object, from: number, to: number, why: string): void {
      const epoch = start(connection);
      const before = received[SEQ];
      if (!epoch || to <= before) return;
      const first = Math.max(from, before + 1);
      if (before > 0 && first > before + 1) gap(before + 1, first - 1, "unknown");
      if (why !== "void") gap(first, to, why);
      received[SEQ] = to;
      enqueue(() => void (epoch.handled[SEQ] = to));
    },

    /** Acknowledges what was handled, if there is something. */
    async conclude(): Promise<void> {
      if (unacknowledged) await acknowledge();
    },
  };
}

// ---- kept ----

// What a store of kept messages is. It does not know what the records mean.

/** A record: a key and a value, or `undefined` to delete it. */
export type StoreRecord = readonly [key: string, value: unknown];

/** Keeps records. */
export interface Store {
  /** Writes all of these records, or none. They are durable when it returns. */
  write(records: readonly StoreRecord[]): Promise<void>;
  /** Lets another tab open the store, when all writes are done. */
  close(): void;
}

/** A store, and the records that it had. */
export interface OpenedStore {
  readonly store: Store;
  readonly records: readonly StoreRecord[];
}

// ---- envelope ----

// Reads and writes envelopes: the JSON objects on the wire. It does not know who handles them.

/** An envelope, after its keys were checked. */
interface Envelope {
  readonly type: string;
  readonly ts: number;
  readonly data: unknown;
  readonly id?: unknown;
  readonly re?: unknown;
  readonly ttl?: number;
  readonly err?: unknown;
  readonly seq?: any;
  readonly latest?: unknown;
  readonly state?: unknown;
  readonly ack?: any;
}

/** A failure of the peer, cut to the lengths that this client accepts. */
interface Failure {
  readonly code: string;
  readonly message: string;
  readonly data?: unknown;
}

const isInteger = (value: unknown) => typeof value === "bigint" || Number.isInteger(value);
const isId = (value: unknown) => isInteger(value) || (typeof value === "string" && value.length <= 128);
/** Whether a value of a key is allowed. A key that is missing is. */
const CHECKS: Record<string, (value: any) => boolean> = { ver: isInteger, ts: isInteger, ttl: isInteger, id: isId, re: isId };

/** Returns the envelope, or the reason why the text is not one. */
function readEnvelope(text: string): Envelope | string {
  let value: any;
  try {
    value = parse(text);
  } catch (error) {
    return textOf(error);
  }
  if (typeof value?.type !== "string" || !value.type || value.type.startsWith("__")) return "it has no type";
  const wrong = Object.keys(CHECKS).find((key) => value[key] !== undefined && !CHECKS[key]!(value[key]));
  return wrong ? `"${wrong}" is wrong` : { ...value, ts: Number(value.ts ?? 0), data: value.data ?? null };
}

/** Returns an envelope with these further keys, which are JSON without the braces. */
function writeEnvelope(type: string, rest: string, ts = Math.floor(Date.now() / 1000)): string {
  return `{"ver":1,"type":${JSON.stringify(type)},"ts":${ts},${rest}}`;
}

/** Reads any JSON as a failure. */
function readFailure(err: any): Failure {
  const { code = "", message = code ? "" : stringify(err), data } = Object(err);
  return { code: String(code).slice(0, 128), message: String(message).slice(0, 512), data };
}

const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** Returns the lane and the number of a kept message. */
function numberOf({ seq, latest, state }: Envelope): [lane: 0 | 1, number: number] | undefined {
  if (isNumber(seq)) return [SEQ, seq];
  const newest = latest ?? state;
  return isNumber(newest) ? [LATEST, newest] : undefined;
}

/** Whether a key has an object, which is for delivery itself. */
function isObject(value: unknown): boolean {
  return Object(value) === value;
}

/** Returns a number of a control envelope, or 0. */
function numberOr0(value: unknown): number {
  return isNumber(value) ? value : 0;
}

// ---- json ----

// JSON with exact integers: one that a number cannot hold is read and written as a bigint.
//
// Newer engines show the digits to `JSON.parse` and take them in `JSON.rawJSON`. This marks the
// integers in the text, which needs neither, and has the same result everywhere.

/** A string or a number. Outside of strings, valid JSON has digits only in numbers. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;

/** Returns a text that no peer can guess, to mark the integers in a text. */
const newMark = () => `${Math.random()} `;

/** Parses JSON. Integers beyond ±(2^53 - 1) are bigints. */
function parse(text: string): unknown {
  const plain: unknown = JSON.parse(text);
  if (!/\d{16}/.test(text)) return plain;
  const mark = newMark();
  // The text is valid, so each match is a whole token.
  const marked = text.replace(TOKEN, (token) =>
    /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${mark}${token}"` : token,
  );
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/** Writes JSON. A bigint is written as its digits. Throws for NaN and the infinities. */
function stringify(value: unknown): string {
  const mark = newMark();
  const text = JSON.stringify(value, (key, value: unknown) => {
    if (typeof value === "bigint") return mark + value;
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`"${key}" is ${value}`);
    return value;
  }) as string | undefined;
  if (text === undefined) throw new TypeError(`a ${typeof value} is not JSON`);
  return text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1");
}

import type * as types from "./types.js";

/** Edge in Fleet v1. */
export const FleetEdge: Side<types.FleetEdge> = {
  protocol: "Fleet",
  version: 1,
  fingerprint: "40af3b6888a7362e",
  side: "Edge",
  sends: {
    incident: { delivery: "at_least_once", ttl: 3600000, full: "drop_oldest" },
    telemetry: { delivery: "at_most_once" },
  },
  requests: {},
  receives: {
    beat: { delivery: "at_most_once" },
    notice: { delivery: "at_least_once", ttl: 3600000, full: "drop_oldest" },
  },
  answers: {
    check_health: { reply: "health", refusal: null },
    set_rate: { reply: "rate_set", refusal: null },
  },
};
