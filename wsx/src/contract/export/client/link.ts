// The connection: dials, notices when the link is dead, waits, and dials again. It does not know
// messages.
//
//              opened                 ended
// connecting ---------> connected ------------> waiting
//      ^  |                                       |  ^
//      |  +---------------- failed ---------------|--+
//      +---------------- delay over --------------+
//
// dial: from waiting, connecting and connected to connecting, without a delay.
// outdated: from connected, when the server closes with 4426. closed: from any state.
import { delay, delayReplaced } from "./backoff.js";
import { textOf } from "./errors.js";
import type { Resolved, Socket, State } from "./options.js";

/** The server closes with this code if another connection with the same id has replaced this one. */
const REPLACED = 4000;
/** The server closes with this code if this page is too old for it. */
const OUTDATED = 4426;
/** This client closes with this code if it and the server cannot keep up with each other. */
const OVERLOADED = 4013;
/** How long an event may wait behind a timer that fires at the same moment, in milliseconds. */
const EVENTS_FIRST = 100;
/** How long `close` waits for the server, in milliseconds. */
const CLOSE_TIMEOUT = 10_000;

/** What the link reports. `connection` stands for one connection. */
export interface LinkEvents {
  state(state: State): void;
  opened(connection: object): void;
  received(connection: object, data: string | ArrayBuffer): void;
  ended(why: string): void;
  /** Asks the server for a sign of life. */
  probe(): void;
}

/** Returns the link of a client. It does nothing until `dial`. */
export function newLink(options: Resolved, query: string, events: LinkEvents) {
  const { backoff, random, heartbeat, handshakeTimeout, url: given, WebSocket: Class } = options;
  let down = { since: new Date(), why: "" };
  let state: State = { is: "connecting", attempt: 1, ...down };
  /** The socket of the attempt or of the connection. */
  let socket: Socket | undefined;
  /** The same, once it is open. */
  let connection: Socket | undefined;
  /** Counts attempts, so that a late event of an earlier one is known. */
  let turn = 0;
  let failures = 0;
  let openedAt = 0;
  /** When the last message was received. */
  let heardAt = 0;
  /** When the client last asked for a sign of life. */
  let askedAt = 0;
  /** The end of the wait, of the attempt, or of the silence. */
  let timer: ReturnType<typeof setTimeout> | undefined;

  const isOver = () => state.is === "closed" || state.is === "outdated";
  const stopWatching = watchPage({
    check,
    back: () => (state.is === "waiting" ? dial() : check()),
    suspend,
    resume: () => isOver() || dial(),
  });

  function set(next: State): void {
    state = next;
    events.state(next);
  }

  function wait(milliseconds: number, then: () => void): void {
    clearTimeout(timer);
    timer = setTimeout(then, milliseconds);
  }

  /** Begins an attempt. Gives an earlier one up, and a connection too. */
  function dial(): void {
    abandon("dialled again");
    const own = turn;
    set({ is: "connecting", attempt: failures + 1, ...down });
    // The program may have closed the client when it saw the state.
    if (own !== turn) return;
    wait(handshakeTimeout, () => end("no answer in time"));
    address()
      .then((url) => own === turn && open(url))
      .catch((error) => own === turn && end(textOf(error)));
  }

  async function address(): Promise<string> {
    const url = new URL(typeof given === "function" ? await given() : given, (globalThis as any).location?.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.search += (url.search ? "&" : "?") + query;
    url.hash = "";
    return url.href;
  }

  function open(url: string): void {
    const own = turn;
    if (!Class) throw new Error("there is no WebSocket: give it as an option");
    const opening = (socket = new Class(url));
    opening.binaryType = "arraybuffer";
    // Browsers do not say more than that there was an error; the close follows.
    opening.onerror = () => {};
    opening.onopen = () => {
      if (own !== turn) return;
      connection = opening;
      openedAt = heardAt = performance.now();
      listen();
      events.opened(opening);
      set({ is: "connected", since: new Date(), why: "" });
    };
    opening.onmessage = ({ data }) => {
      if (own !== turn) return;
      const isAnswer = askedAt > heardAt;
      heardAt = performance.now();
      if (isAnswer) listen();
      events.received(opening, data);
    };
    opening.onclose = ({ code, reason }) => {
      if (own === turn) end(whyOf(code, reason, !!connection), code);
    };
  }

  /** Notes the end of an attempt or a connection, and waits. */
  function end(why: string, code?: number): void {
    const replaced = connection && code === REPLACED;
    abandon(why);
    down = { ...down, why };
    if (code === OUTDATED) return stop({ is: "outdated", ...down });
    const own = turn;
    const pause = replaced ? delayReplaced(backoff, random()) : delay(backoff, failures, random());
    set({ is: "waiting", attempt: ++failures, delay: pause, ...down });
    if (own === turn) wait(pause, dial);
  }

  /** Leaves the present attempt or connection, without a word of its later events. */
  function abandon(why: string): void {
    const wasOpen = connection;
    const left = socket;
    turn++;
    clearTimeout(timer);
    socket = connection = undefined;
    left?.close();
    if (!wasOpen) return;
    if (performance.now() - openedAt >= backoff.stableAfter) failures = 0;
    down = { since: new Date(), why };
    events.ended(why);
  }

  /** Something has happened to the network or the page, so a connection has to prove itself. */
  function check(): void {
    if (connection && heartbeat && askedAt <= heardAt) probe();
  }

  /** The page may be frozen, so the connection is not read. */
  function suspend(): void {
    if (isOver()) return;
    abandon("the page is not shown");
    set({ is: "waiting", attempt: failures, delay: Infinity, ...down });
  }

  function stop(next: State): void {
    stopWatching();
    set(next);
  }

  /** Waits for a silence. */
  function listen(): void {
    if (!heartbeat) return clearTimeout(timer);
    const left = heardAt + heartbeat.interval - performance.now();
    wait(Math.max(left, 0), left > 0 ? listen : probe);
  }

  /** Asks for a sign of life. Without one, the connection ends. */
  function probe(): void {
    askedAt = performance.now();
    events.probe();
    // A page that was stopped has expired timers and unread messages.
    const silent = () => wait(EVENTS_FIRST, () => end("the server is silent"));
    if (connection) wait(heartbeat!.timeout, silent);
  }

  return {
    dial,
    isOver,
    state: () => state,
    connection: () => connection,

    /** Sends a text. Returns whether it was within this many bytes. */
    write(text: string, limit: number): boolean {
      if (!connection || connection.bufferedAmount + text.length > limit) return false;
      connection.send(text);
      return true;
    },

    /** Closes the connection with 4013, and dials again after a wait. */
    fail(why: string): void {
      socket?.close(OVERLOADED, why);
      end(why);
    },

    /** Closes the connection for good, with 1000. Returns when the server has answered. */
    async close(): Promise<void> {
      const why = "closed by the program";
      const closing = connection;
      if (isOver()) return;
      closing?.close(1000);
      abandon(why);
      stop({ is: "closed", since: new Date(), why });
      if (!closing) return;
      await new Promise((resolve) => {
        closing.onclose = resolve;
        timer = setTimeout(resolve, CLOSE_TIMEOUT);
      });
      clearTimeout(timer);
    },
  };
}

function whyOf(code: number, reason: string, wasOpen: boolean): string {
  if (!wasOpen) return "the server cannot be reached";
  return code === 1006 ? "the link broke" : `the server closed with ${code} ${reason}`.trim();
}

/** Reports what happens to the page. Returns the function that stops it. Node has no page. */
function watchPage(on: { check(): void; back(): void; suspend(): void; resume(): void }): () => void {
  const page = globalThis as any;
  if (!page.document) return () => {};
  const seen = () => page.document.visibilityState === "visible" && on.back();
  const listeners: [any, string, (event: any) => void][] = [
    [page, "online", on.back],
    [page, "offline", on.check],
    [page.document, "visibilitychange", seen],
    [page, "pagehide", (event) => event.persisted && on.suspend()],
    [page, "pageshow", (event) => event.persisted && on.resume()],
  ];
  for (const [target, name, listener] of listeners) target.addEventListener(name, listener);
  return () => {
    for (const [target, name, listener] of listeners) target.removeEventListener(name, listener);
  };
}
