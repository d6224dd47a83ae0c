// Web v1, written by `wsx::contract::export!`. Change the types in Rust, not this file.

/** An integer of 64 bits or more: a number up to 2^53 - 1, and a bigint beyond. */
export type Int64 = number | bigint;

/** What Page says and hears in Web v1. */
export interface WebPage {
  sends: {
    alarm: Alarm;
    reading: Reading;
    sample: SampleSent;
    settings: Settings;
    temperature: Temperature;
  };
  requests: {
    enter: { request: Enter; reply: Entered; refusal: Denied };
    fail: { request: Fail; reply: Held; refusal: never };
    hold: { request: Hold; reply: Held; refusal: never };
  };
  receives: { gauge: Gauge; notice: Notice; order: Order; sample: Sample; wish: Wish };
  answers: { ask: { request: Ask; reply: Told; refusal: Shy } };
}

/** Gives way to newer ones. */
export interface Alarm {
  n: number;
}

export interface Ask {
  how: string;
}

export interface Denied {
  because: string;
}

export interface Enter {
  code: Int64;
}

export interface Entered {
  code: Int64;
}

export type Fail = { [key: string]: never };

export interface Gauge {
  place: string;
  value: number;
}

export type Held = { [key: string]: never };

/** Is not answered until the test says so. */
export type Hold = { [key: string]: never };

/** With a tag inside. */
export type Mode = { kind: "off" } | { kind: "timed"; seconds: Int64 };

export interface Notice {
  text: string;
}

export interface Order {
  n: number;
}

export interface Place {
  inner: Place[];
  name: string;
}

export interface Reading {
  n: number;
}

/** All shapes that differ between Rust and JavaScript. */
export interface Sample {
  /** A date, as RFC 3339 has it. */
  at: string;
  /** Up to 2^64 - 1. */
  big: Int64;
  counts: { [key: string]: Int64 };
  /** From -2^63. */
  debt: Int64;
  /** `null` if it is `None`. */
  limit: number | null;
  mode: Mode;
  /** Not there if it is `None`. */
  note?: string | null;
  pair: [number, string];
  places: Place[];
  ratio: number;
  signal: Signal;
  step: Step;
}

/** All shapes that differ between Rust and JavaScript. */
export interface SampleSent {
  /** A date, as RFC 3339 has it. */
  at: string;
  /** Up to 2^64 - 1. */
  big: Int64;
  counts: { [key: string]: Int64 };
  /** From -2^63. */
  debt: Int64;
  /** `null` if it is `None`. */
  limit?: number | null;
  mode: Mode;
  /** Not there if it is `None`. */
  note?: string | null;
  pair: [number, string];
  places: Place[];
  ratio: number;
  signal: Signal;
  step: Step;
}

export interface Settings {
  interval_s: number;
}

export interface Shy {
  until: number;
}

/** With tag and content. */
export type Signal = { t: "Low" } | { c: Int64; t: "High" };

/** With the tag as the key. */
export type Step = "Begin" | { Wait: Int64 } | { Move: { x: number; y: number } };

export interface Temperature {
  celsius: number;
  device: string;
}

export interface Told {
  said: string;
}

export interface Wish {
  level: number;
}
