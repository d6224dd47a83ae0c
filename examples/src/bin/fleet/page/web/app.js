// The page: puts the list, the open box and the link together.
import { Details } from "./details.js";
import { Fleet } from "./fleet.js";
import { open } from "./link.js";
import { BOX, List } from "./list.js";
import { exactTime, plural } from "./words.js";

const $ = (id) => document.getElementById(id);
/** Notices that the list shows. */
const SHOWN = 50;

const fleet = new Fleet();
const list = new List(fleet);

const client = open(
  {
    boxes(message) {
      fleet.replace(message);
      list.rebuild();
      details.load();
      showRest(true);
    },
    changes(message) {
      const { isNew, moved } = fleet.change(message, details.id);
      if (isNew) list.rebuild();
      const ids = message.boxes.map(({ id }) => id);
      const painted = list.update(ids, !isNew && message.boxes.some(({ status }) => status));
      // For the profiler of a browser, and for the test: the work of a message.
      performance.mark("fleet-update", { detail: { boxes: ids.length, painted } });
      performance.clearMarks("fleet-update");
      showRest(message.notices.length > 0);
      say(moved);
    },
  },
  showTitle,
);

const details = new Details(fleet, client, close);

/** Closes the open box. The focus goes back to its row. */
function close() {
  const { id } = details;
  history.pushState(null, "", location.pathname);
  route();
  list.focus(id);
}

/** Opens the box in the address, so that the way back and a reload work. */
function route() {
  // The links to the parts of the page change the address too.
  if (["#boxes", "#notices"].includes(location.hash)) return;
  const id = location.hash.startsWith(BOX) ? location.hash.slice(BOX.length) : null;
  list.mark(id);
  details.open(id);
  showNotices();
}

function showRest(areNoticesNew) {
  const [online, all] = [fleet.online(), fleet.boxes.size];
  const text = `${online} of ${plural(all, "box", "boxes")} online`;
  if ($("summary").textContent !== text) $("summary").textContent = text;
  details.update();
  if (areNoticesNew) showNotices();
  showTitle();
}

function showTitle() {
  const isDown = document.documentElement.dataset.link === "down";
  const title = isDown ? "Not connected – Fleet" : `${fleet.online()} of ${fleet.boxes.size} online – Fleet`;
  if (document.title !== title) document.title = title;
}

/** All notices, or those of the open box. */
function showNotices() {
  const own = fleet.notices.filter(({ id }) => details.id === null || id === details.id).slice(0, SHOWN);
  $("notices-title").textContent = details.id === null ? "Notices" : `Notices of ${details.id}`;
  $("no-notice").hidden = own.length > 0;
  $("notice-list").replaceChildren(
    ...own.map(({ at, text }) => {
      const item = document.createElement("li");
      const time = document.createElement("time");
      time.dateTime = new Date(Number(at)).toISOString();
      time.textContent = exactTime(Number(at), fleet.now);
      item.append(time, text);
      return item;
    }),
  );
}

/** Reads aloud which boxes came or went: one sentence for each message of the server. */
function say(moved) {
  if (!moved.length) return;
  const [first] = moved;
  const is = fleet.boxes.get(first).status.online ? "online" : "away";
  const more = moved.length > 1 ? `, and ${plural(moved.length - 1, "other box changed", "other boxes changed")}` : "";
  $("said").textContent = `${first} is ${is}${more}.`;
}

addEventListener("popstate", route);
addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches?.("input");
  if (event.key === "Escape" && details.id !== null) close();
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    if (details.id !== null && getComputedStyle($("boxes")).display === "none") close();
    $("search").focus();
  }
});
route();
