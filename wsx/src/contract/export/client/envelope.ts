// Reads and writes envelopes: the JSON objects on the wire. It does not know who handles them.
import { textOf } from "./errors.js";
import { parse, stringify } from "./json.js";
import { LATEST, SEQ } from "./outbox.js";

/** An envelope, after its keys were checked. */
export interface Envelope {
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
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly data?: unknown;
}

const isInteger = (value: unknown) => typeof value === "bigint" || Number.isInteger(value);
const isId = (value: unknown) => isInteger(value) || (typeof value === "string" && value.length <= 128);
/** Whether a value of a key is allowed. A key that is missing is. */
const CHECKS: Record<string, (value: any) => boolean> = { ver: isInteger, ts: isInteger, ttl: isInteger, id: isId, re: isId };

/** Returns the envelope, or the reason why the text is not one. */
export function readEnvelope(text: string): Envelope | string {
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
export function writeEnvelope(type: string, rest: string, ts = Math.floor(Date.now() / 1000)): string {
  return `{"ver":1,"type":${JSON.stringify(type)},"ts":${ts},${rest}}`;
}

/** Reads any JSON as a failure. */
export function readFailure(err: any): Failure {
  const { code = "", message = code ? "" : stringify(err), data } = Object(err);
  return { code: String(code).slice(0, 128), message: String(message).slice(0, 512), data };
}

const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** Returns the lane and the number of a kept message. */
export function numberOf({ seq, latest, state }: Envelope): [lane: 0 | 1, number: number] | undefined {
  if (isNumber(seq)) return [SEQ, seq];
  const newest = latest ?? state;
  return isNumber(newest) ? [LATEST, newest] : undefined;
}

/** Whether a key has an object, which is for delivery itself. */
export function isObject(value: unknown): boolean {
  return Object(value) === value;
}

/** Returns a number of a control envelope, or 0. */
export function numberOr0(value: unknown): number {
  return isNumber(value) ? value : 0;
}
