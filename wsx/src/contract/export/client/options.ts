// What a program gives to `connect`: its handlers, options with their defaults, and the types of
// what it is told.
import { type Backoff, DEFAULT_BACKOFF } from "./backoff.js";
import type { Refused } from "./errors.js";
import type { OpenedStore } from "./kept.js";
import type { Exchange, Messages } from "./side.js";

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
export type Resolved = Settings & { readonly backoff: Backoff; readonly url: Options<Messages>["url"] };

export function resolve<S extends Messages>(options: Options<S>): Resolved {
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
