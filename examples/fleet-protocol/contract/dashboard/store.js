// Dashboard v1, written by `wsx::contract::export!`. Do not change this file.
const LOCK_WAIT = 1_000;
const { indexedDB, navigator } = globalThis;
export function indexedDb(name) {
    return () => open(name);
}
async function open(name) {
    if (!indexedDB || !navigator?.locks) {
        throw new Error("this page has neither IndexedDB nor Web Locks: serve it by https");
    }
    const release = await lock(`wsx ${name}`);
    try {
        const opening = indexedDB.open(`wsx ${name}`, 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
        const db = await done(opening);
        db.onversionchange = () => db.close();
        const all = db.transaction("kept").objectStore("kept");
        const [keys, values] = await Promise.all([done(all.getAllKeys()), done(all.getAll())]);
        return {
            records: keys.map((key, at) => [key, values[at]]),
            store: {
                write: (records) => write(db, records),
                close() {
                    db.close();
                    release();
                },
            },
        };
    }
    catch (error) {
        release();
        throw error;
    }
}
function lock(name) {
    return new Promise((resolve, reject) => {
        navigator.locks
            .request(name, { signal: AbortSignal.timeout(LOCK_WAIT) }, () => new Promise((end) => resolve(end)))
            .catch(() => reject(new Error(`another tab uses the store "${name}"`)));
    });
}
function write(db, records) {
    return new Promise((resolve, reject) => {
        const transaction = db.transaction("kept", "readwrite", { durability: "strict" });
        const kept = transaction.objectStore("kept");
        for (const [key, value] of records) {
            if (value === undefined)
                kept.delete(key);
            else
                kept.put(value, key);
        }
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
    });
}
function done(request) {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}
