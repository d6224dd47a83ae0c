// The kept messages that wait for the server, their numbers, and which of them is sent next. It
// knows neither sockets, clocks nor the store: the caller passes the time, and writes the records.
import { DeliveryError, SendError } from "./errors.js";
import type { StoreRecord } from "./kept.js";
import type { Policy } from "./side.js";

/** `SEQ` has the messages that all count, and `LATEST` the newest ones. */
export const SEQ = 0;
export const LATEST = 1;
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
export interface Waiting {
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
export interface Acknowledgement {
  readonly numbers: readonly [number, number];
  readonly failed: readonly { lane: number; number: number; code: string; message: string }[];
}

/** Returns the outbox of a client, which has nothing in it. `failed` learns what was not handled. */
export function newOutbox(
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
