// Dashboard v1, written by `wsx::contract::export!`. Change the types in Rust, not this file.

/** An integer of 64 bits or more: a number up to 2^53 - 1, and a bigint beyond. */
export type Int64 = number | bigint;

/** What Browser says and hears in Dashboard v1. */
export interface DashboardBrowser {
  sends: {};
  requests: {
    check_box: { request: CheckBox; reply: BoxHealth; refusal: Unanswered };
    read_history: { request: ReadHistory; reply: History; refusal: Unanswered };
    send_notice: { request: SendNotice; reply: NoticeTaken; refusal: Unanswered };
    set_box_rate: { request: SetBoxRate; reply: BoxRate; refusal: Unanswered };
  };
  receives: { boxes: Boxes; changes: Changes };
  answers: {};
}

/** The reply to `CheckBox`. */
export interface BoxHealth {
  /** Mean number of processes that ran or were ready to run in the last minute. */
  load: number;
  /** Time from the question to the reply, in microseconds. */
  took: number;
  /** Time since the host started, in seconds. */
  uptime_s: Int64;
}

/** The reply to `SetBoxRate`. */
export interface BoxRate {
  /** The rate before, in samples per second. */
  before: number;
  /** Time from the question to the reply, in microseconds. */
  took: number;
}

/** A box. */
export interface BoxState {
  /** Name of the box. */
  id: string;
  /** The loads of its last samples, at most a minute of them, oldest first. */
  recent_cpu: number[];
  /** The newest sample. A box that never sent telemetry does not have one. */
  sample: Sample | null;
  /** What seldom changes. */
  status: Status;
}

/**
 * Everything that the page shows. It is the first message of a connection, and replaces what the
 * page knew.
 */
export interface Boxes {
  /** The boxes, in the order of their names. */
  boxes: BoxState[];
  /** The newest notices, oldest first. */
  notices: Notice[];
  /** The time of this message. */
  now: Int64;
  /** Version of the protocol that the server speaks with the boxes. */
  version: number;
}

/** What changed about a box. */
export interface Change {
  /** Name of the box. */
  id: string;
  /** The new sample, if the box has sent telemetry. */
  sample: Sample | null;
  /** The new status, if it has changed. A box that the page does not know is new. */
  status: Status | null;
}

/** Everything that changed since the message before. There is at most one a second. */
export interface Changes {
  /** The boxes that changed. */
  boxes: Change[];
  /** New notices, oldest first. */
  notices: Notice[];
  /** The time of this message. */
  now: Int64;
}

/** Asks a box for its health. */
export interface CheckBox {
  /** Name of the box. */
  id: string;
}

/** The reply to `ReadHistory`. */
export interface History {
  /** The samples, oldest first. */
  samples: Sample[];
}

/** Something that happened. */
export interface Notice {
  /** When the server noticed it. */
  at: Int64;
  /** Name of the box, if it is about one box. */
  id: string | null;
  /** A sentence. */
  text: string;
}

/** The reply to `SendNotice`. */
export interface NoticeTaken {
  /** Messages that now wait for the box. */
  waiting: number;
}

/** Asks for the samples of the last minutes. */
export interface ReadHistory {
  /** Name of the box. */
  id: string;
}

/** A sample of the host of a box. */
export interface Sample {
  /** The time of the sample. */
  at: Int64;
  /** Mean load of the cores, in percent. */
  cpu: number;
  /** Round trip of the newest ping, in microseconds. */
  latency: number | null;
  /** Used memory, in percent. */
  memory: number;
  /** Received data, in bytes per second. A first sample does not have it. */
  received: Int64 | null;
  /** Sent data, in bytes per second. A first sample does not have it. */
  sent: Int64 | null;
}

/** Sends a notice to a box. If the box is absent, the notice waits in the mailbox. */
export interface SendNotice {
  /** Name of the box. */
  id: string;
  /** The text, at most 200 characters. */
  text: string;
}

/** Sets the sampling rate of a box. */
export interface SetBoxRate {
  /** Name of the box. */
  id: string;
  /** Samples per second. */
  per_second: number;
}

/** The state of a box. */
export interface Status {
  /** Labels of the box. */
  labels: string[];
  /** Messages that wait for the box in the mailbox of the server. */
  mailbox: number;
  /** Whether the box is connected. */
  online: boolean;
  /** Messages that wait in the outbox of the box, as the box has last reported. */
  outbox: number | null;
  /** Sampling rate, in samples per second. */
  per_second: number | null;
  /** Why it is absent. */
  reason: string | null;
  /** Reconnects that the server has seen. */
  reconnects: Int64;
  /** Since when it is connected, or absent. */
  since: Int64;
  /** Version of the protocol that the box speaks, if the box reports it. */
  version: number | null;
}

/** Why there is not a reply. */
export interface Unanswered {
  /** A sentence without a full stop, such as "the peer did not reply in time". */
  reason: string;
}
