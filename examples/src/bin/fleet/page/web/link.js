// The connection to the server: the generated client, and what the page says about its state. It
// does not know boxes.
import { connect, DashboardBrowser } from "./client.js";
import { duration, exactTime } from "./words.js";

const $ = (id) => document.getElementById(id);
/** A link that comes back within this time was not worth a banner, in milliseconds. */
const BLINK = 300;

/**
 * Connects, and shows the state of the link. `handlers` has a function for each message of the
 * server. `onChange` is called when the banner comes or goes.
 */
export function open(handlers, onChange) {
  let state = { is: "connecting", since: new Date(), why: "" };
  let wasUp = false;
  let ticking = 0;
  const client = connect(DashboardBrowser, {
    url: "/ws",
    handlers,
    onState(next) {
      state = next;
      wasUp ||= next.is === "connected";
      show();
    },
  });

  function show() {
    clearTimeout(ticking);
    const isUp = state.is === "connected";
    const isOutdated = state.is === "outdated";
    const down = Date.now() - state.since.getTime();
    $("link").dataset.is = state.is;
    set($("link-text"), isUp ? "connected" : isOutdated ? "page is outdated" : wasUp || down > BLINK ? "not connected" : "connecting");
    const isShown = !isUp && (isOutdated || down >= BLINK);
    $("banner").hidden = !isShown;
    const is = isShown ? "down" : "up";
    if (document.documentElement.dataset.link !== is) {
      document.documentElement.dataset.link = is;
      onChange();
    }
    $("banner-button").textContent = isOutdated ? "Reload the page" : "Try now";
    // The status is read aloud, so it does not change with each second. The time beside it does.
    set($("banner-text"), isShown ? sentence(isOutdated) : "");
    $("banner-time").textContent = isShown && !isOutdated ? `That is ${duration(down)} ago. ${attempt()}` : "";
    if (!isUp && !isOutdated) ticking = setTimeout(show, isShown ? 1000 : BLINK - down + 1);
  }

  function sentence(isOutdated) {
    if (isOutdated) return "The server speaks a newer protocol than this page. Reload the page.";
    const since = exactTime(state.since.getTime(), Date.now());
    return wasUp
      ? `Not connected to the server since ${since}. The values below are from then.`
      : `Not connected to the server, tried since ${since}.`;
  }

  function attempt() {
    return state.is === "waiting" ? "The page tries again by itself." : "Trying to connect …";
  }

  $("banner-button").addEventListener("click", () => {
    if (state.is === "outdated") location.reload();
    else client.retryNow();
  });
  show();
  return client;
}

/** Changes a text only if it differs, so that a status is not read twice. */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
