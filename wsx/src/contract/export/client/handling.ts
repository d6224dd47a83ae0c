// Runs the handlers of received messages and requests. It does not know where they come from.
import type { Envelope } from "./envelope.js";
import { Refused, textOf } from "./errors.js";
import { stringify } from "./json.js";
import type { Context, Problem, Resolved } from "./options.js";
import type { Side } from "./side.js";

type AnyHandler = (data: unknown, context: Context) => unknown;

/** What a client knows of the types that it receives. */
export type AnySide = Side<{ sends: {}; requests: {}; receives: {}; answers: {} }> & {
  readonly answers: Record<string, { reply: string; refusal: string | null }>;
};

/** A failure that the peer is told. */
export interface Failed {
  readonly code: string;
  readonly message?: string;
  readonly data?: unknown;
}

/** Returns what runs the handlers of a client. */
export function newHandling(
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
