// Billing v1, written by `wsx::contract::export!`. Change the types in Rust, not this file.

/** An integer of 64 bits or more: a number up to 2^53 - 1, and a bigint beyond. */
export type Int64 = number | bigint;

/** What Meter says and hears in Billing v1. */
export interface BillingMeter {
  sends: { reading: Reading };
  requests: {};
  receives: { tariff: Tariff };
  answers: {};
}

/** A reading of a meter. The meter keeps it until the office has written it down. */
export interface Reading {
  /** Number of the reading in this run. */
  number: number;
  /** Number of the meter's program, which is another one after each start. */
  run: number;
}

/**
 * A price for a meter. The office keeps it until the meter has written it down, also while the
 * meter is away.
 */
export interface Tariff {
  /** Number of the tariff in this run. */
  number: number;
  /** Number of the office's program, which is another one after each start. */
  run: number;
}
