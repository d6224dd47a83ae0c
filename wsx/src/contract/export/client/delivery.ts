// Kept messages in both directions: joins outbox, inbox and store to a connection.
import { type Envelope, isObject, numberOf, numberOr0, readFailure, writeEnvelope } from "./envelope.js";
import { SendError, textOf } from "./errors.js";
import { type InboxEvents, newInbox } from "./inbox.js";
import type { Problem, Resolved } from "./options.js";
import { LATEST, newOutbox, SEQ, type Waiting } from "./outbox.js";
import { LONGEST } from "./requests.js";
import type { Policy } from "./side.js";
import type { Store, StoreRecord } from "./kept.js";

/** Maximum length of an epoch. */
const MAX_EPOCH = 64;

/** What delivery needs of its client. */
export interface DeliveryEvents {
  handle: InboxEvents["handle"];
  problem(problem: Problem): void;
  /** Sends a text on the present connection. */
  write(text: string): void;
}

/** Returns the delivery of a client. */
export function newDelivery(options: Resolved, { handle, problem, write }: DeliveryEvents) {
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
