// The requests of this client that wait for their replies. It does not know sockets.
import { RequestError } from "./errors.js";

/** How a request waits. */
export interface Asking {
  /** How long it waits, in milliseconds; `Infinity` is without a limit. */
  readonly timeout?: number;
  /** Cancels the request. */
  readonly signal?: AbortSignal;
}

/** The longest time that a timer of JavaScript can wait, in milliseconds. */
export const LONGEST = 2 ** 31 - 1;

interface Pending {
  readonly reply: string;
  readonly resolve: (data: unknown) => void;
  readonly reject: (code: string, why: string, data?: unknown) => void;
}

/** Returns the table of the requests of a client. */
export function newRequests() {
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
