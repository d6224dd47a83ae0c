// Dashboard v1, written by `wsx::contract::export!`. Do not change this file.
// A store of kept messages in IndexedDB, for one tab at a time. It does not know what the records
// mean.
import type { OpenedStore, StoreRecord } from "./client.js";

/** How long a page that was reloaded waits until its predecessor has gone, in milliseconds. */
const LOCK_WAIT = 1_000;

// `any`, so that a project for Node compiles without the types of browsers.
const { indexedDB, navigator } = globalThis as any;

/**
 * Keeps messages in IndexedDB under this name, so that they outlive the page: `store: indexedDb("box-7")`.
 *
 * Use one name for each id that the server knows this client by, because the numbers of messages
 * belong to the id. One tab at a time uses a name. The client of another tab, and of a browser
 * without IndexedDB or Web Locks, keeps its messages in memory, and reports `store_failed`. Browsers
 * offer Web Locks to pages of `https:` and `localhost` alone.
 */
export function indexedDb(name: string): () => Promise<OpenedStore> {
  return () => open(name);
}

async function open(name: string): Promise<OpenedStore> {
  if (!indexedDB || !navigator?.locks) {
    throw new Error("this page has neither IndexedDB nor Web Locks: serve it by https");
  }
  const release = await lock(`wsx ${name}`);
  try {
    const opening = indexedDB.open(`wsx ${name}`, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
    const db = await done(opening);
    // Another page wants to delete the database. What is kept stays in memory.
    db.onversionchange = () => db.close();
    const all = db.transaction("kept").objectStore("kept");
    const [keys, values] = await Promise.all([done(all.getAllKeys()), done(all.getAll())]);
    return {
      records: keys.map((key: string, at: number) => [key, values[at]]),
      store: {
        write: (records) => write(db, records),
        close() {
          db.close();
          release();
        },
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** Takes the lock of a name, and returns the function that releases it. */
function lock(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { signal: AbortSignal.timeout(LOCK_WAIT) }, () => new Promise<void>((end) => resolve(end)))
      .catch(() => reject(new Error(`another tab uses the store "${name}"`)));
  });
}

function write(db: any, records: readonly StoreRecord[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = db.transaction("kept", "readwrite", { durability: "strict" });
    const kept = transaction.objectStore("kept");
    for (const [key, value] of records) {
      if (value === undefined) kept.delete(key);
      else kept.put(value, key);
    }
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

function done(request: any): Promise<any> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
