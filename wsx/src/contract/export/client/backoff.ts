// How long a client waits before it dials again: pure functions of the number of failures and a
// random number. They are those of the Rust client.

/** The waits of a client that reconnects. Times are in milliseconds. */
export interface Backoff {
  /** The wait before the second attempt; default 500. */
  readonly initial: number;
  /** Each wait is this many times as long as the previous one; default 1.8. */
  readonly factor: number;
  /** Maximum wait; default 30,000. A client that was replaced waits for at least half of it. */
  readonly max: number;
  /** A connection that lasted this long starts the waits again from `initial`; default 5,000. */
  readonly stableAfter: number;
}

/** The waits that a client has if the program does not set others. */
export const DEFAULT_BACKOFF: Backoff = { initial: 500, factor: 1.8, max: 30_000, stableAfter: 5_000 };

/** Returns the wait after this many failures in a row: ± 50 %, by a random number from 0 to 1. */
export function delay({ initial, factor, max }: Backoff, failures: number, random: number): number {
  const base = Math.min(initial * factor ** failures, max);
  const low = base * 0.5;
  return low + (Math.min(base * 1.5, max) - low) * random;
}

/** Returns the wait after a close with 4000, from half of the longest wait to all of it. */
export function delayReplaced({ max }: Backoff, random: number): number {
  return max * (0.5 + 0.5 * random);
}
