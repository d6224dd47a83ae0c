// The names that a program may import. All others stay inside of the client.
export type { Backoff } from "./backoff.js";
export { type Client, connect } from "./client.js";
export { DeliveryError, refuse, Refused, RequestError, SendError } from "./errors.js";
export type { Answer, Answerer, Context, Handlers, Listener, Options, Problem, Settings, Socket, State } from "./options.js";
export type { OpenedStore, Store, StoreRecord } from "./kept.js";
export type { Asking } from "./requests.js";
export type { Answers, Exchange, Messages, Policy, Side } from "./side.js";
