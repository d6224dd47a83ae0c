// What a client knows of its protocol: the types of one side, and the table that `export!` writes.

/** A request: the message that asks, the reply, and the refusal if the protocol names one. */
export interface Exchange {
  request: unknown;
  reply: unknown;
  refusal: unknown;
}

/** The messages of one side of a protocol, by their types. `types.ts` has one for each side. */
export interface Messages {
  sends: Record<string, unknown>;
  requests: Record<string, Exchange>;
  receives: Record<string, unknown>;
  answers: Record<string, Exchange>;
}

/** How the messages of a type are delivered. `ttl` is in milliseconds. */
export interface Policy {
  readonly delivery: "at_most_once" | "at_least_once" | "latest" | "state";
  readonly ttl?: number;
  readonly key?: string;
  readonly full?: "reject" | "drop_oldest";
}

/** The types of the reply to a request, and of its refusal if there is one. */
export interface Answers {
  readonly reply: string;
  readonly refusal: string | null;
}

/** One side of a protocol. `export!` writes a constant of this type for each side that connects. */
export interface Side<S extends Messages> {
  readonly protocol: string;
  readonly version: number;
  /** 16 hexadecimal digits. */
  readonly fingerprint: string;
  readonly side: string;
  readonly sends: { readonly [T in keyof S["sends"]]: Policy };
  readonly requests: { readonly [T in keyof S["requests"]]: Answers };
  readonly receives: { readonly [T in keyof S["receives"]]: Policy };
  readonly answers: { readonly [T in keyof S["answers"]]: Answers };
}
