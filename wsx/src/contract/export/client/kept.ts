// What a store of kept messages is. It does not know what the records mean.

/** A record: a key and a value, or `undefined` to delete it. */
export type StoreRecord = readonly [key: string, value: unknown];

/** Keeps records. */
export interface Store {
  /** Writes all of these records, or none. They are durable when it returns. */
  write(records: readonly StoreRecord[]): Promise<void>;
  /** Lets another tab open the store, when all writes are done. */
  close(): void;
}

/** A store, and the records that it had. */
export interface OpenedStore {
  readonly store: Store;
  readonly records: readonly StoreRecord[];
}
