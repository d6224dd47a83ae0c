// Fleet v1, written by `wsx::contract::export!`. Do not change this file.
const HEARTBEAT = "wsx.heartbeat";
const REPORT_EVERY = 100;
const LOOK_EVERY = 50;
export function connect(side, options) {
    const resolved = resolve(options);
    const { maxBufferedBytes, maxRequests, requestTimeout, reportFailures, onProblem, onRaw, onState } = resolved;
    const reserve = maxBufferedBytes * 2;
    const sends = side.sends;
    const asks = side.requests;
    const requests = newRequests();
    const handling = newHandling(side, options.handlers, resolved, problem);
    const delivery = newDelivery(resolved, { problem, handle: handling.message, write: writeOrFail });
    const version = encodeURIComponent(`${side.protocol}.${side.version}.${side.fingerprint}`);
    const waiters = [];
    let isClosed = false;
    let reportedAt = -Infinity;
    const link = newLink(resolved, `wsx-protocol=${version}`, {
        opened: delivery.attach,
        received,
        probe: () => writeOrFail(writeEnvelope(HEARTBEAT, `"id":"${HEARTBEAT}","ttl":0`)),
        ended(why) {
            delivery.detach();
            handling.end();
            requests.end(why);
        },
        state(state) {
            for (const waiter of waiters.splice(0))
                waiter();
            handling.guard(() => onState(state));
        },
    });
    void delivery.ready.then(() => isClosed || link.dial());
    function problem(problem) {
        try {
            onProblem(problem);
        }
        catch (error) {
            console.error("wsx:", error);
        }
    }
    function encode(data) {
        try {
            return stringify(data);
        }
        catch (error) {
            throw new SendError("not_json", textOf(error));
        }
    }
    function rejectIfOver() {
        if (isClosed || link.isOver())
            throw new SendError("closed", `the client is closed: ${link.state().why}`);
    }
    function write(text) {
        rejectIfOver();
        if (!link.connection())
            throw new SendError("not_connected", "the client is not connected");
        if (!link.write(text, maxBufferedBytes))
            throw new SendError("full", "the network is too slow");
    }
    function writeOrFail(text) {
        if (link.connection() && !link.write(text, reserve))
            link.fail("the server does not read");
    }
    const isKept = (type) => sends[type].delivery !== "at_most_once";
    async function keep(type, data, done) {
        rejectIfOver();
        const policy = sends[type];
        const key = policy.key === undefined ? "" : encode(data[policy.key]);
        return delivery.keep(type, policy, key, encode(data), done);
    }
    function received(connection, data) {
        const envelope = typeof data === "string" ? readEnvelope(data) : "it is binary";
        if (typeof envelope !== "string")
            sorted(connection, envelope);
        else if (onRaw)
            handling.guard(() => onRaw(data, envelope));
        else
            problem({ is: "envelope_rejected", why: envelope });
    }
    function sorted(connection, envelope) {
        const { type, id, re, err, data } = envelope;
        const failure = err === undefined || err === null ? null : readFailure(err);
        if (re !== undefined) {
            const isExpected = re === HEARTBEAT || requests.answer(re, type, data, failure);
            if (!isExpected)
                problem({ is: "reply_unexpected", type });
        }
        else if (failure) {
            if (id !== undefined)
                handling.cancel(id);
            else
                problem({ is: "peer_failed", type, code: failure.code, message: failure.message });
        }
        else if (id !== undefined) {
            void handling.request(envelope).then((reply) => {
                if (connection === link.connection())
                    writeOrFail(writeEnvelope(reply.type, reply.rest));
                else
                    problem({ is: "reply_dropped", type });
            });
        }
        else if (!delivery.take(connection, envelope)) {
            if (!handling.hasRoom())
                return link.fail("too many pending handlers");
            void handling.message(envelope).then((failed) => failed && report(connection, type, failed));
        }
    }
    function report(connection, type, failed) {
        const now = performance.now();
        if (!reportFailures || connection !== link.connection() || now < reportedAt + REPORT_EVERY)
            return;
        reportedAt = now;
        link.write(writeEnvelope(type.slice(0, 128), `"err":${stringify(failed)}`), reserve);
    }
    return {
        get state() {
            return link.state();
        },
        get waiting() {
            return delivery.waiting();
        },
        get isDurable() {
            return delivery.isDurable();
        },
        async send(type, data) {
            if (isKept(type))
                await keep(type, data);
            else
                write(writeEnvelope(type, `"data":${encode(data)}`));
        },
        async deliver(type, data) {
            if (!isKept(type))
                throw new TypeError(`"${type}" is not kept`);
            return new Promise((resolve, reject) => {
                keep(type, data, (error) => (error ? reject(error) : resolve())).catch(reject);
            });
        },
        async request(type, data, { timeout = requestTimeout, signal } = {}) {
            const ttl = Number.isFinite(timeout) ? `"ttl":${Math.max(Math.ceil(timeout), 1)},` : "";
            const send = (id) => {
                try {
                    if (requests.size() >= maxRequests)
                        throw new SendError("full", "too many requests");
                    write(writeEnvelope(type, `"id":${id},${ttl}"data":${encode(data)}`));
                }
                catch (error) {
                    const { code, message } = error;
                    throw new RequestError(code, type, `was not sent: ${message}`);
                }
            };
            const cancel = (id) => {
                link.write(writeEnvelope("cancel", `"id":${id},"err":{"code":"cancelled"}`), reserve);
            };
            return requests.ask(type, asks[type].reply, timeout, signal, send, cancel);
        },
        refusal(type, error) {
            const { refusal } = asks[type];
            return error instanceof RequestError && error.type === type && error.code === refusal ? error.data : undefined;
        },
        on: (type, listener) => handling.add(type, listener),
        answer: (type, answerer) => handling.replace(type, answerer),
        async connected() {
            while (link.state().is !== "connected") {
                rejectIfOver();
                await new Promise((resolve) => waiters.push(resolve));
            }
        },
        async drained() {
            while ((link.connection()?.bufferedAmount ?? 0) > maxBufferedBytes / 2) {
                await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
            }
        },
        retryNow() {
            if (!isClosed && !link.isOver())
                link.dial();
        },
        async close() {
            if (isClosed)
                return;
            isClosed = true;
            await delivery.conclude();
            await Promise.all([link.close(), delivery.close()]);
        },
    };
}
const MIB = 1024 * 1024;
function resolve(options) {
    return {
        WebSocket: globalThis.WebSocket,
        random: Math.random,
        heartbeat: { interval: 25_000, timeout: 10_000 },
        handshakeTimeout: 10_000,
        requestTimeout: 10_000,
        maxRequests: 1_024,
        maxBufferedBytes: 4 * MIB,
        outboxMessages: 10_000,
        outboxLength: 4 * MIB,
        store: undefined,
        reportFailures: true,
        onState: () => { },
        onRaw: undefined,
        onUnknown: undefined,
        onProblem: (problem) => console.warn("wsx:", problem),
        ...options,
        backoff: { ...DEFAULT_BACKOFF, ...options.backoff },
    };
}
class CodedError extends Error {
    constructor(name, code, message) {
        super(message);
        this.name = name;
        this.code = code;
    }
}
export class SendError extends CodedError {
    constructor(code, message) {
        super("SendError", code, message);
    }
}
export class RequestError extends CodedError {
    constructor(code, type, why, data) {
        super("RequestError", code, `the request "${type}" ${why}`);
        this.type = type;
        this.data = data;
    }
}
export class DeliveryError extends CodedError {
    constructor(code, type, why = code, peerCode) {
        super("DeliveryError", code, `the message "${type}" was not handled: ${why}`);
        this.peerCode = peerCode;
    }
}
export class Refused {
    constructor(data) {
        this.data = data;
    }
}
export function refuse(data) {
    return new Refused(data);
}
function textOf(error) {
    return String(error instanceof Error ? error.message : error).slice(0, 512);
}
const LONGEST = 2 ** 31 - 1;
function newRequests() {
    const pending = new Map();
    let lastId = 0;
    return {
        size: () => pending.size,
        ask(type, reply, timeout, signal, send, cancel) {
            const id = ++lastId;
            let timer;
            const abort = () => {
                cancel(id);
                pending.get(id)?.reject("cancelled", "was cancelled");
            };
            return new Promise((resolve, rejectWith) => {
                const reject = (code, why, data) => rejectWith(new RequestError(code, type, why, data));
                if (signal?.aborted)
                    return reject("cancelled", "was cancelled");
                send(id);
                pending.set(id, { reply, resolve, reject });
                signal?.addEventListener("abort", abort);
                if (timeout <= LONGEST)
                    timer = setTimeout(() => reject("timed_out", "got no reply"), timeout);
            }).finally(() => {
                pending.delete(id);
                clearTimeout(timer);
                signal?.removeEventListener("abort", abort);
            });
        },
        answer(id, type, data, failure) {
            const asked = pending.get(id);
            if (!asked)
                return false;
            const { reply, resolve, reject } = asked;
            if (failure)
                reject(failure.code, `failed with ${failure.code}: ${failure.message}`, failure.data);
            else if (type === reply)
                resolve(data);
            else
                reject("bad_reply", `got "${type}", not "${reply}"`);
            return true;
        },
        end(why) {
            for (const { reject } of pending.values())
                reject("ended", `lost its connection: ${why}`);
            pending.clear();
        },
    };
}
function newHandling({ receives, answers }, handlers, { maxRequests, onUnknown }, problem) {
    const added = new Map();
    const requests = new Map();
    let ended = new AbortController();
    let pending = 0;
    const hasRoom = () => pending < maxRequests;
    const known = new Map();
    for (const type of Object.keys({ ...receives, ...answers })) {
        known.set(type, (...given) => handlers[type](...given));
    }
    function guard(callback) {
        try {
            callback();
        }
        catch (error) {
            problem({ is: "callback_failed", error });
        }
    }
    function ignored(type, data) {
        if (onUnknown)
            guard(() => onUnknown(type, data));
        else
            problem({ is: "message_ignored", type });
        return { code: "not_handled", message: "no handler takes this type" };
    }
    function failed(type, error) {
        problem({ is: "handler_failed", type, error });
        return { code: "failed", message: textOf(error) };
    }
    return {
        hasRoom,
        guard,
        add(type, listener) {
            const own = (...given) => listener(...given);
            const all = added.get(type) ?? new Set();
            added.set(type, all.add(own));
            return () => void all.delete(own);
        },
        replace(type, answerer) {
            known.set(type, answerer);
        },
        async message({ type, ts, data }, delivered) {
            const handler = known.get(type);
            if (!handler)
                return ignored(type, data);
            const context = { type, ts, signal: ended.signal, delivered };
            let failure;
            pending++;
            for (const each of [handler, ...(added.get(type) ?? [])]) {
                try {
                    await each(data, context);
                }
                catch (error) {
                    failure = failed(type, error);
                }
            }
            pending--;
            return failure;
        },
        async request({ type, ts, data, id, ttl }) {
            const re = `"re":${stringify(id)},`;
            const fail = (failure) => ({ type: type.slice(0, 128), rest: `${re}"err":${stringify(failure)}` });
            const handler = known.get(type);
            if (ttl === 0)
                return fail({ code: "expired" });
            if (!handler)
                return fail(ignored(type, data));
            if (!hasRoom())
                return fail({ code: "busy" });
            const key = String(id);
            const controller = new AbortController();
            const { signal } = controller;
            requests.set(key, controller);
            pending++;
            try {
                const result = await handler(data, { type, ts, signal });
                const { reply, refusal } = answers[type] ?? {};
                if (!reply || result === undefined)
                    return fail({ code: "no_reply" });
                if (result instanceof Refused)
                    return fail({ code: refusal, message: "refused", data: result.data });
                return { type: reply, rest: `${re}"data":${stringify(result)}` };
            }
            catch (error) {
                return fail(failed(type, error));
            }
            finally {
                pending--;
                if (requests.get(key) === controller)
                    requests.delete(key);
            }
        },
        cancel(id) {
            requests.get(String(id))?.abort();
        },
        end() {
            ended.abort();
            ended = new AbortController();
            requests.forEach((request) => request.abort());
            requests.clear();
        },
    };
}
const REPLACED = 4000;
const OUTDATED = 4426;
const OVERLOADED = 4013;
const EVENTS_FIRST = 100;
const CLOSE_TIMEOUT = 10_000;
function newLink(options, query, events) {
    const { backoff, random, heartbeat, handshakeTimeout, url: given, WebSocket: Class } = options;
    let down = { since: new Date(), why: "" };
    let state = { is: "connecting", attempt: 1, ...down };
    let socket;
    let connection;
    let turn = 0;
    let failures = 0;
    let openedAt = 0;
    let heardAt = 0;
    let askedAt = 0;
    let timer;
    const isOver = () => state.is === "closed" || state.is === "outdated";
    const stopWatching = watchPage({
        check,
        back: () => (state.is === "waiting" ? dial() : check()),
        suspend,
        resume: () => isOver() || dial(),
    });
    function set(next) {
        state = next;
        events.state(next);
    }
    function wait(milliseconds, then) {
        clearTimeout(timer);
        timer = setTimeout(then, milliseconds);
    }
    function dial() {
        abandon("dialled again");
        const own = turn;
        set({ is: "connecting", attempt: failures + 1, ...down });
        if (own !== turn)
            return;
        wait(handshakeTimeout, () => end("no answer in time"));
        address()
            .then((url) => own === turn && open(url))
            .catch((error) => own === turn && end(textOf(error)));
    }
    async function address() {
        const url = new URL(typeof given === "function" ? await given() : given, globalThis.location?.href);
        url.protocol = url.protocol.replace("http", "ws");
        url.search += (url.search ? "&" : "?") + query;
        url.hash = "";
        return url.href;
    }
    function open(url) {
        const own = turn;
        if (!Class)
            throw new Error("there is no WebSocket: give it as an option");
        const opening = (socket = new Class(url));
        opening.binaryType = "arraybuffer";
        opening.onerror = () => { };
        opening.onopen = () => {
            if (own !== turn)
                return;
            connection = opening;
            openedAt = heardAt = performance.now();
            listen();
            events.opened(opening);
            set({ is: "connected", since: new Date(), why: "" });
        };
        opening.onmessage = ({ data }) => {
            if (own !== turn)
                return;
            const isAnswer = askedAt > heardAt;
            heardAt = performance.now();
            if (isAnswer)
                listen();
            events.received(opening, data);
        };
        opening.onclose = ({ code, reason }) => {
            if (own === turn)
                end(whyOf(code, reason, !!connection), code);
        };
    }
    function end(why, code) {
        const replaced = connection && code === REPLACED;
        abandon(why);
        down = { ...down, why };
        if (code === OUTDATED)
            return stop({ is: "outdated", ...down });
        const own = turn;
        const pause = replaced ? delayReplaced(backoff, random()) : delay(backoff, failures, random());
        set({ is: "waiting", attempt: ++failures, delay: pause, ...down });
        if (own === turn)
            wait(pause, dial);
    }
    function abandon(why) {
        const wasOpen = connection;
        const left = socket;
        turn++;
        clearTimeout(timer);
        socket = connection = undefined;
        left?.close();
        if (!wasOpen)
            return;
        if (performance.now() - openedAt >= backoff.stableAfter)
            failures = 0;
        down = { since: new Date(), why };
        events.ended(why);
    }
    function check() {
        if (connection && heartbeat && askedAt <= heardAt)
            probe();
    }
    function suspend() {
        if (isOver())
            return;
        abandon("the page is not shown");
        set({ is: "waiting", attempt: failures, delay: Infinity, ...down });
    }
    function stop(next) {
        stopWatching();
        set(next);
    }
    function listen() {
        if (!heartbeat)
            return clearTimeout(timer);
        const left = heardAt + heartbeat.interval - performance.now();
        wait(Math.max(left, 0), left > 0 ? listen : probe);
    }
    function probe() {
        askedAt = performance.now();
        events.probe();
        const silent = () => wait(EVENTS_FIRST, () => end("the server is silent"));
        if (connection)
            wait(heartbeat.timeout, silent);
    }
    return {
        dial,
        isOver,
        state: () => state,
        connection: () => connection,
        write(text, limit) {
            if (!connection || connection.bufferedAmount + text.length > limit)
                return false;
            connection.send(text);
            return true;
        },
        fail(why) {
            socket?.close(OVERLOADED, why);
            end(why);
        },
        async close() {
            const why = "closed by the program";
            const closing = connection;
            if (isOver())
                return;
            closing?.close(1000);
            abandon(why);
            stop({ is: "closed", since: new Date(), why });
            if (!closing)
                return;
            await new Promise((resolve) => {
                closing.onclose = resolve;
                timer = setTimeout(resolve, CLOSE_TIMEOUT);
            });
            clearTimeout(timer);
        },
    };
}
function whyOf(code, reason, wasOpen) {
    if (!wasOpen)
        return "the server cannot be reached";
    return code === 1006 ? "the link broke" : `the server closed with ${code} ${reason}`.trim();
}
function watchPage(on) {
    const page = globalThis;
    if (!page.document)
        return () => { };
    const seen = () => page.document.visibilityState === "visible" && on.back();
    const listeners = [
        [page, "online", on.back],
        [page, "offline", on.check],
        [page.document, "visibilitychange", seen],
        [page, "pagehide", (event) => event.persisted && on.suspend()],
        [page, "pageshow", (event) => event.persisted && on.resume()],
    ];
    for (const [target, name, listener] of listeners)
        target.addEventListener(name, listener);
    return () => {
        for (const [target, name, listener] of listeners)
            target.removeEventListener(name, listener);
    };
}
const DEFAULT_BACKOFF = { initial: 500, factor: 1.8, max: 30_000, stableAfter: 5_000 };
function delay({ initial, factor, max }, failures, random) {
    const base = Math.min(initial * factor ** failures, max);
    const low = base * 0.5;
    return low + (Math.min(base * 1.5, max) - low) * random;
}
function delayReplaced({ max }, random) {
    return max * (0.5 + 0.5 * random);
}
const MAX_EPOCH = 64;
function newDelivery(options, { handle, problem, write }) {
    let store = { write: async () => { }, close() { } };
    let isDurable = false;
    let outbox;
    let current;
    let timer;
    let isClosed = false;
    const inbox = newInbox({
        handle,
        gap: (from, to, why) => problem({ is: "delivery_gap", from, to, why }),
        keep: (epoch, value) => keepRecords([[`in ${epoch}`, value]]),
        acknowledge(connection, ack) {
            if (connection === current)
                write(writeEnvelope("delivery", `"ack":${JSON.stringify(ack)}`));
        },
    });
    const ready = open();
    async function open() {
        let records = [];
        try {
            const opened = await options.store?.();
            isDurable = !!opened;
            if (opened)
                ({ store, records } = opened);
        }
        catch (error) {
            problem({ is: "store_failed", error });
        }
        const having = (prefix) => records.filter(([key]) => key.startsWith(prefix));
        const epoch = String(having("epoch")[0]?.[1] ?? newEpoch());
        const now = performance.now();
        outbox = newOutbox(epoch, options.outboxMessages, options.outboxLength, Date.now() - now, (type, code, message) => problem({ is: "delivery_failed", type, code, message }));
        outbox.load(having("out ").map(([, value]) => value));
        for (const [key, value] of having("in "))
            inbox.load(key.slice(3), value);
        await keepRecords([["epoch", epoch]]);
    }
    function pump() {
        const now = performance.now();
        outbox.expire(now);
        for (let next; current && (next = outbox.next());)
            write(writeEnvelope(next.type, next.rest, next.at));
        const records = outbox.takeRecords();
        if (records.length)
            void keepRecords(records);
        clearTimeout(timer);
        const wait = outbox.nextExpiry() - now;
        if (wait > 0 && wait < Infinity && !isClosed)
            timer = setTimeout(pump, Math.min(wait, LONGEST));
    }
    async function keepRecords(records) {
        try {
            await store.write(records);
        }
        catch (error) {
            problem({ is: "store_failed", error });
        }
    }
    function acknowledged(ack) {
        const failed = [ack.failed ?? []].flat().map((failure) => ({
            ...readFailure(failure),
            lane: failure?.latest ? LATEST : SEQ,
            number: numberOr0(failure?.latest ?? failure?.seq),
        }));
        outbox.acknowledge({ numbers: [numberOr0(ack.seq), numberOr0(ack.latest)], failed });
        pump();
    }
    return {
        ready,
        isDurable: () => isDurable,
        waiting: () => outbox?.waiting() ?? 0,
        conclude: inbox.conclude,
        async keep(type, policy, key, text, done) {
            await ready;
            if (isClosed)
                throw new SendError("closed", "the client is closed");
            const message = outbox.accept(type, policy, key, text, Math.floor(Date.now() / 1000), performance.now());
            message.done = done;
            const records = [...outbox.takeRecords(), outbox.record(message)];
            try {
                await store.write(records);
            }
            catch (error) {
                outbox.refused(message);
                throw new SendError("store", `the store failed: ${textOf(error)}`);
            }
            outbox.stored(message);
            pump();
        },
        attach(connection) {
            current = connection;
            outbox.attach();
            pump();
        },
        detach() {
            current = undefined;
            outbox.detach();
            pump();
        },
        take(connection, envelope) {
            const { seq, ack } = envelope;
            const numbered = numberOf(envelope);
            if (numbered) {
                inbox.message(connection, ...numbered, envelope);
            }
            else if (isObject(seq)) {
                const { epoch, first, last, skip, why = "unknown" } = seq;
                const [from = 0, to = 0] = [skip ?? []].flat().map(numberOr0);
                if (typeof epoch !== "string" || epoch.length > MAX_EPOCH)
                    return true;
                if (!skip)
                    inbox.begin(connection, epoch, numberOr0(first), numberOr0(last));
                else if (from && from <= to)
                    inbox.skip(connection, from, to, String(why));
            }
            else if (isObject(ack)) {
                if (ack.epoch === outbox.epoch)
                    acknowledged(ack);
            }
            else {
                return false;
            }
            return true;
        },
        async close() {
            isClosed = true;
            await ready;
            clearTimeout(timer);
            outbox.end();
            store.close();
        },
    };
}
const newEpoch = () => `${Math.random()}${Math.random()}`;
const SEQ = 0;
const LATEST = 1;
const WINDOW = 32;
const WINDOW_LENGTH = 16 * 1024;
function newOutbox(epoch, maxMessages, maxLength, wallClock, failed) {
    const lanes = [[], []];
    let last = [0, 0];
    let gap;
    const records = [];
    let isAttached = false;
    let hasBegun = false;
    let isResumed = false;
    let sent = [0, 0];
    let acknowledged = [0, 0];
    const waiting = () => lanes.flat().filter(({ isSettled }) => !isSettled);
    const isSent = (message) => message.number <= sent[laneOf(message)];
    function record(message) {
        const { done, isStored, expires, ...value } = message;
        return [keyOf(message), { ...value, wall: expires + wallClock }];
    }
    function remove(message) {
        const lane = lanes[laneOf(message)];
        const at = lane.indexOf(message);
        if (at < 0)
            return;
        lane.splice(at, 1);
        records.push([keyOf(message), undefined]);
    }
    function lose(message, code, why = code, peerCode) {
        if (code !== "superseded")
            failed(message.type, peerCode ?? code, why);
        message.done?.(new DeliveryError(code, message.type, why, peerCode));
    }
    function leave(message, code, why) {
        const next = lanes[SEQ].find(({ number }) => number > message.number);
        const before = message.gap ?? { from: message.number, why };
        const after = (next ? next.gap : gap) ?? before;
        const all = { from: before.from, why: before.why === why && after.why === why ? why : "unknown" };
        remove(message);
        if (laneOf(message) === LATEST) {
        }
        else if (next) {
            next.gap = all;
            records.push(record(next));
        }
        else {
            gap = all;
        }
        lose(message, code);
    }
    function makeRoom(message, { full }) {
        const older = lanes[LATEST].filter(({ slot }) => slot === message.slot);
        const rest = () => lanes.flat().filter((other) => !older.includes(other));
        const fits = (others) => others.filter(({ isSettled }) => !isSettled).length < maxMessages && sizeOf([message, ...others]) <= maxLength;
        const mayLeave = full === "drop_oldest" ? lanes[SEQ].filter(({ type }) => type === message.type) : [];
        if (!fits(rest().filter((other) => !mayLeave.includes(other)))) {
            throw new SendError("outbox_full", "the outbox is full");
        }
        mayLeave.sort((a, b) => Number(isSent(a)) - Number(isSent(b)));
        while (!fits(rest()))
            leave(mayLeave.shift(), "dropped", "full");
    }
    const control = (value) => ({
        type: "delivery",
        rest: `"seq":${JSON.stringify({ epoch, ...value })}`,
    });
    function sendMessage(lane, message) {
        const { number, type, at, text, isState } = message;
        const isFull = number - acknowledged[lane] > WINDOW || sizeOf([...waiting().filter(isSent), message]) > WINDOW_LENGTH;
        if (isFull && (sent[SEQ] > acknowledged[SEQ] || sent[LATEST] > acknowledged[LATEST]))
            return undefined;
        sent[lane] = number;
        return { type, at, rest: `"${lane === SEQ ? "seq" : isState ? "state" : "latest"}":${number},"data":${text}` };
    }
    return {
        epoch,
        record,
        waiting: () => waiting().length,
        accept(type, policy, key, text, at, now) {
            const { delivery, ttl = Infinity } = policy;
            const message = {
                number: 0,
                gap: undefined,
                type,
                slot: delivery === "at_least_once" ? "" : `${type} ${key}`,
                text,
                at,
                isState: delivery === "state",
                isSettled: false,
                expires: now + ttl,
                isStored: false,
            };
            makeRoom(message, policy);
            const lane = laneOf(message);
            message.number = ++last[lane];
            if (lane === SEQ)
                [message.gap, gap] = [gap, undefined];
            lanes[lane].push(message);
            return message;
        },
        stored(message) {
            message.isStored = true;
            for (const other of lanes[LATEST].filter(({ slot, number }) => slot === message.slot && number < message.number)) {
                remove(other);
                lose(other, "superseded");
            }
        },
        refused: remove,
        attach() {
            isAttached = true;
        },
        detach() {
            isAttached = hasBegun = isResumed = false;
            sent = [0, 0];
        },
        next() {
            if (!isAttached)
                return undefined;
            if (!hasBegun) {
                hasBegun = !!gap || lanes.flat().some(({ isStored }) => isStored);
                return hasBegun ? control({ first: lanes[SEQ][0]?.number ?? last[SEQ] + 1, last: last[SEQ] }) : undefined;
            }
            if (!isResumed)
                return undefined;
            const newest = lanes[LATEST].find(({ number }) => number > sent[LATEST]);
            if (newest?.isStored)
                return sendMessage(LATEST, newest);
            const following = lanes[SEQ].find(({ number }) => number > sent[SEQ]);
            if (following && !following.isStored)
                return undefined;
            const from = sent[SEQ] + 1;
            const to = following ? following.number - 1 : last[SEQ];
            if (to < from)
                return following && sendMessage(SEQ, following);
            const lost = (following ? following.gap : gap) ?? { from: to + 1, why: "void" };
            const isLost = lost.from <= from;
            sent[SEQ] = isLost ? to : lost.from - 1;
            return control({ skip: [from, sent[SEQ]], why: isLost ? lost.why : "void" });
        },
        acknowledge({ numbers, failed }) {
            if (!hasBegun)
                return;
            if (isResumed) {
                acknowledged = [Math.min(numbers[SEQ], sent[SEQ]), Math.min(numbers[LATEST], sent[LATEST])];
            }
            else {
                isResumed = true;
                last = [Math.max(last[SEQ], numbers[SEQ]), Math.max(last[LATEST], numbers[LATEST])];
                const [first] = lanes[SEQ];
                const lost = first ? first.gap : gap;
                sent = [numbers[SEQ] || (lost?.from ?? first?.number ?? last[SEQ] + 1) - 1, numbers[LATEST]];
                acknowledged = [...sent];
            }
            for (const message of lanes.flat()) {
                const { number, isState, isSettled } = message;
                const lane = laneOf(message);
                if (lane === SEQ && number - 1 <= acknowledged[lane])
                    message.gap = undefined;
                if (number > acknowledged[lane] || isSettled)
                    continue;
                const failure = failed.find((other) => other.lane === lane && other.number === number);
                if (failure)
                    lose(message, "failed", failure.message, failure.code);
                else
                    message.done?.();
                if (isState) {
                    Object.assign(message, { isSettled: true, done: undefined, expires: Infinity });
                    records.push(record(message));
                }
                else
                    remove(message);
            }
            if (acknowledged[SEQ] >= last[SEQ])
                gap = undefined;
        },
        expire(now) {
            for (const message of waiting()) {
                if (message.expires <= now && !isSent(message))
                    leave(message, "expired", "expired");
            }
        },
        nextExpiry: () => Math.min(...waiting().map(({ expires }) => expires)),
        end: () => waiting().forEach(({ done, type }) => done?.(new DeliveryError("ended", type))),
        takeRecords: () => records.splice(0),
        load(values) {
            for (const { wall, ...message } of values.sort((a, b) => a.number - b.number)) {
                const lane = laneOf(message);
                lanes[lane].push({ ...message, expires: wall - wallClock, isStored: true });
                last[lane] = message.number;
            }
        },
    };
}
const laneOf = ({ slot }) => (slot ? LATEST : SEQ);
const keyOf = (message) => `out ${laneOf(message)} ${message.number}`;
const sizeOf = (messages) => messages.reduce((sum, { text, type }) => sum + text.length + type.length + 64, 0);
const MAX_AHEAD = 4096;
const MAX_FAILURES = 1024;
const MAX_TEXTS = 16;
const MAX_EPOCHS = 4;
const ACKNOWLEDGE_AFTER = 16;
const ACKNOWLEDGE_EVERY = 100;
function newInbox({ handle, gap, keep, acknowledge: write }) {
    const epochs = new Map();
    let epoch;
    let current;
    let queue = [];
    let isRunning = false;
    let beginWaits = false;
    let isCut = false;
    let received = [0, 0];
    let isFirst = true;
    let unacknowledged = 0;
    let acknowledgedAt = -Infinity;
    let timer;
    function start(connection) {
        if (connection !== current || beginWaits || isCut || !epoch)
            return undefined;
        if (isFirst)
            epoch.failures = epoch.failures.filter(({ isKnown }) => !isKnown);
        isFirst = false;
        return epoch;
    }
    function enqueue(step) {
        queue.push(step);
        if (!isRunning)
            void run();
    }
    async function run() {
        isRunning = true;
        for (;;) {
            if (beginWaits) {
                beginWaits = isCut = false;
                received = [...epoch.handled];
                isFirst = true;
                await acknowledge();
            }
            const step = queue.shift();
            if (!step && beginWaits)
                continue;
            if (!step)
                break;
            await step();
            acknowledgeSoon();
        }
        isRunning = false;
    }
    function acknowledgeSoon() {
        const wait = acknowledgedAt + ACKNOWLEDGE_EVERY - performance.now();
        if (++unacknowledged >= ACKNOWLEDGE_AFTER || wait <= 0)
            void acknowledge();
        else
            timer ??= setTimeout(() => void acknowledge(), wait);
    }
    async function acknowledge() {
        clearTimeout(timer);
        timer = undefined;
        const connection = current;
        if (!epoch || !connection || beginWaits)
            return;
        const { name, failures } = epoch;
        const [seq, latest] = epoch.handled;
        unacknowledged = 0;
        acknowledgedAt = performance.now();
        const due = failures.filter(({ isKnown }) => !isKnown);
        for (const failure of due)
            failure.isKnown = true;
        await keep(name, { handled: [seq, latest], failures: failures.map((failure) => ({ ...failure })) });
        if (connection !== current)
            return;
        const failed = due.map(({ lane, number, code, message }) => ({
            [lane === LATEST ? "latest" : "seq"]: number,
            code,
            message: due.length > MAX_TEXTS ? undefined : message,
        }));
        write(connection, { epoch: name, seq, latest, failed: failed.length ? failed : undefined });
    }
    return {
        load(name, { handled, failures }) {
            epochs.set(name, { name, handled, announced: 0, failures });
        },
        begin(connection, name, first, last) {
            const known = epochs.get(name);
            const [before, announced] = [epoch?.handled[SEQ] ?? 0, epoch?.announced ?? 0];
            if (!known && before < announced)
                gap(before + 1, announced, "unknown");
            epoch = known ?? { name, handled: [0, 0], announced: 0, failures: [] };
            epochs.delete(name);
            epochs.set(name, epoch);
            for (const oldest of [...epochs.keys()].slice(0, -MAX_EPOCHS)) {
                epochs.delete(oldest);
                void keep(oldest);
            }
            epoch.announced = last;
            epoch.failures = epoch.failures.filter(({ lane, number }) => lane !== SEQ || number >= first);
            for (const failure of epoch.failures)
                failure.isKnown = false;
            current = connection;
            queue = [];
            beginWaits = true;
            if (!isRunning)
                void run();
        },
        message(connection, lane, number, envelope) {
            const epoch = start(connection);
            if (!epoch)
                return;
            const before = received[lane];
            if (number <= before)
                return acknowledgeSoon();
            if (queue.length >= MAX_AHEAD)
                isCut = true;
            if (isCut)
                return;
            if (lane === SEQ && before > 0 && number > before + 1)
                gap(before + 1, number - 1, "unknown");
            received[lane] = number;
            enqueue(async () => {
                const failure = await handle(envelope, { epoch: epoch.name, number });
                if (failure && epoch.failures.push({ lane, number, isKnown: false, ...failure }) > MAX_FAILURES) {
                    epoch.failures.shift();
                }
                epoch.handled[lane] = number;
            });
        },
        skip(connection, from, to, why) {
            const epoch = start(connection);
            const before = received[SEQ];
            if (!epoch || to <= before)
                return;
            const first = Math.max(from, before + 1);
            if (before > 0 && first > before + 1)
                gap(before + 1, first - 1, "unknown");
            if (why !== "void")
                gap(first, to, why);
            received[SEQ] = to;
            enqueue(() => void (epoch.handled[SEQ] = to));
        },
        async conclude() {
            if (unacknowledged)
                await acknowledge();
        },
    };
}
const isInteger = (value) => typeof value === "bigint" || Number.isInteger(value);
const isId = (value) => isInteger(value) || (typeof value === "string" && value.length <= 128);
const CHECKS = { ver: isInteger, ts: isInteger, ttl: isInteger, id: isId, re: isId };
function readEnvelope(text) {
    let value;
    try {
        value = parse(text);
    }
    catch (error) {
        return textOf(error);
    }
    if (typeof value?.type !== "string" || !value.type || value.type.startsWith("__"))
        return "it has no type";
    const wrong = Object.keys(CHECKS).find((key) => value[key] !== undefined && !CHECKS[key](value[key]));
    return wrong ? `"${wrong}" is wrong` : { ...value, ts: Number(value.ts ?? 0), data: value.data ?? null };
}
function writeEnvelope(type, rest, ts = Math.floor(Date.now() / 1000)) {
    return `{"ver":1,"type":${JSON.stringify(type)},"ts":${ts},${rest}}`;
}
function readFailure(err) {
    const { code = "", message = code ? "" : stringify(err), data } = Object(err);
    return { code: String(code).slice(0, 128), message: String(message).slice(0, 512), data };
}
const isNumber = (value) => Number.isSafeInteger(value) && value > 0;
function numberOf({ seq, latest, state }) {
    if (isNumber(seq))
        return [SEQ, seq];
    const newest = latest ?? state;
    return isNumber(newest) ? [LATEST, newest] : undefined;
}
function isObject(value) {
    return Object(value) === value;
}
function numberOr0(value) {
    return isNumber(value) ? value : 0;
}
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
const newMark = () => `${Math.random()} `;
function parse(text) {
    const plain = JSON.parse(text);
    if (!/\d{16}/.test(text))
        return plain;
    const mark = newMark();
    const marked = text.replace(TOKEN, (token) => /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${mark}${token}"` : token);
    return JSON.parse(marked, (_, value) => typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value);
}
function stringify(value) {
    const mark = newMark();
    const text = JSON.stringify(value, (key, value) => {
        if (typeof value === "bigint")
            return mark + value;
        if (typeof value === "number" && !Number.isFinite(value))
            throw new TypeError(`"${key}" is ${value}`);
        return value;
    });
    if (text === undefined)
        throw new TypeError(`a ${typeof value} is not JSON`);
    return text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1");
}

/** Edge in Fleet v1. */
export const FleetEdge = {
  protocol: "Fleet",
  version: 1,
  fingerprint: "40af3b6888a7362e",
  side: "Edge",
  sends: {
    incident: { delivery: "at_least_once", ttl: 3600000, full: "drop_oldest" },
    telemetry: { delivery: "at_most_once" },
  },
  requests: {},
  receives: {
    beat: { delivery: "at_most_once" },
    notice: { delivery: "at_least_once", ttl: 3600000, full: "drop_oldest" },
  },
  answers: {
    check_health: { reply: "health", refusal: null },
    set_rate: { reply: "rate_set", refusal: null },
  },
};
