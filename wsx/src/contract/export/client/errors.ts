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
export function textOf(error: unknown): string {
  return String(error instanceof Error ? error.message : error).slice(0, 512);
}
