// What this page has handled of the kept messages of the server. It decides which message is
// handled, which one is a duplicate, and where messages are missing. Handlers run one after another.
//
// It knows neither sockets nor the store.
import { LATEST, SEQ } from "./outbox.js";

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
export interface InboxEvents {
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
export function newInbox({ handle, gap, keep, acknowledge: write }: InboxEvents) {
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
