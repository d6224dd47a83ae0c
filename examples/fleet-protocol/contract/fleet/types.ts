// Fleet v1, written by `wsx::contract::export!`. Change the types in Rust, not this file.

/** An integer of 64 bits or more: a number up to 2^53 - 1, and a bigint beyond. */
export type Int64 = number | bigint;

/** What Edge says and hears in Fleet v1. */
export interface FleetEdge {
  sends: { incident: Incident; telemetry: Telemetry };
  requests: {};
  receives: { beat: Beat; notice: Notice };
  answers: {
    check_health: { request: CheckHealth; reply: Health; refusal: never };
    set_rate: { request: SetRate; reply: RateSet; refusal: never };
  };
}

/** A sign of life for all boxes. Its number shows a box which ones it has missed. */
export interface Beat {
  /** Number of the message in this run, from 1. */
  number: Int64;
  /** Start of the server's program, in milliseconds since 1970. */
  run: Int64;
  /** Name of the server. */
  server: string;
}

/** Asks a box for its health. */
export type CheckHealth = { [key: string]: never };

/** The reply to `CheckHealth`. */
export interface Health {
  /** Mean number of processes that ran or were ready to run in the last minute. */
  load: number;
  /** Address of the server to which the box is connected. Older boxes do not report it. */
  server?: string | null;
  /** Time since the host started, in seconds. */
  uptime_s: Int64;
}

/**
 * Something that happened to a box. The box keeps it until the server has handled it, also while
 * the server is away.
 */
export interface Incident {
  /** A sentence for people. */
  text: string;
}

/** A text for people. The server keeps it until the box has handled it, also while the box is away. */
export interface Notice {
  /** The text. */
  text: string;
}

/** The reply to `SetRate`. */
export interface RateSet {
  /** The rate before, in samples per second. */
  before: number;
}

/** Sets the sampling rate of a box. */
export interface SetRate {
  /** Samples per second. */
  per_second: number;
}

/** Numbers a message. Every message of a box has a number, so the server can count lost messages. */
export interface Stamp {
  /** Number of the message in this run, from 1. Only messages accepted for sending count. */
  number: Int64;
  /** Start of the box's program, in milliseconds since 1970. */
  run: Int64;
  /** Number of the connection in this run, from 1. */
  session: number;
}

/** A sample of the host. */
export interface Telemetry {
  /** Load of each core, in percent. */
  cores: number[];
  /** Mount point of the fullest disk. */
  disk: string;
  /** Used space of that disk, in percent. */
  disk_used: number;
  /** Used memory, in percent. */
  memory: number;
  /** Messages that wait in the outbox of the box. Older boxes do not report it. */
  outbox?: number | null;
  /** Sampling rate of the box, in samples per second. */
  per_second: number;
  /** Bytes that all network interfaces have received since the host started. */
  received: Int64;
  /** Bytes that all network interfaces have sent since the host started. */
  sent: Int64;
  /** Number of this message. */
  stamp: Stamp;
}
