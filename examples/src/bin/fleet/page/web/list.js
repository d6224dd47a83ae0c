// The list of boxes and its filters. A message of the server paints the rows that are in sight, and a
// few of the others, so its work has a bound, with any number of boxes.
import { sparkline } from "./charts.js";
import { NOTHING, bytes, exactTime, latency, percent, plural, time } from "./words.js";

const $ = (id) => document.getElementById(id);
/** What an address with an open box begins with, after its path. */
export const BOX = "#box=";
const STATES = { all: "All", online: "Online", away: "Away" };

/** Rows out of sight that a message paints, for screen readers, which may read them. */
const OUT_OF_SIGHT = 50;

export class List {
  #fleet;
  /** The rows by box: `{ row, parts, isInSight, isOld }`. */
  #rows = new Map();
  /** The boxes in turns, of which the next ones are painted although they are out of sight. */
  #turns = [].values();
  #search = "";
  #state = "all";
  #labels = new Set();
  #open = null;
  #sight = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "200px" });

  constructor(fleet) {
    this.#fleet = fleet;
    $("search").addEventListener("input", ({ target }) => {
      this.#search = target.value.trim().toLowerCase();
      this.#filter();
    });
    $("states").addEventListener("click", ({ target }) => {
      if (!target.value) return;
      this.#state = target.value;
      this.#filter();
    });
    $("labels").addEventListener("click", ({ target }) => {
      if (!target.value) return;
      if (!this.#labels.delete(target.value)) this.#labels.add(target.value);
      this.#filter();
    });
    $("rows").addEventListener("click", ({ target }) => {
      // The whole row opens the box, except where a person selects its text.
      const row = target.closest("tr");
      if (row && !target.closest("a") && getSelection().isCollapsed) row.querySelector("a").click();
    });
    $("rows").addEventListener("keydown", (event) => this.#move(event));
  }

  /** Makes the rows anew: the boxes are others. */
  rebuild() {
    const focused = document.activeElement?.closest?.("#rows tr")?.dataset.id;
    const rows = new Map();
    for (const id of this.#fleet.boxes.keys()) {
      rows.set(id, this.#rows.get(id) ?? this.#row(id));
      rows.get(id).isOld = true;
    }
    for (const [id, { row }] of this.#rows) if (!rows.has(id)) this.#sight.unobserve(row);
    this.#rows = rows;
    this.#turns = rows.keys();
    $("rows").replaceChildren(...[...rows.values()].map(({ row }) => row));
    if (focused) rows.get(focused)?.row.querySelector("a").focus({ preventScroll: true });
    this.#filter();
  }

  /** Shows new values of these boxes. Returns how many rows were painted. */
  update(ids, isStatusNew) {
    for (const id of ids) this.#rows.get(id).isOld = true;
    if (isStatusNew) this.#filter();
    return this.#paint();
  }

  /** Marks the box that is open. */
  mark(id) {
    this.#link(this.#open)?.removeAttribute("aria-current");
    this.#open = id;
    this.#link(id)?.setAttribute("aria-current", "true");
  }

  /** Moves the focus to a box, if it is in the list. */
  focus(id) {
    const link = this.#link(id);
    if (link && !link.closest("tr").hidden) link.focus();
    else $("boxes").focus();
  }

  #link(id) {
    return this.#rows.get(id)?.row.querySelector("a");
  }

  #row(id) {
    const row = $("row").content.firstElementChild.cloneNode(true);
    const link = row.querySelector("a");
    row.dataset.id = id;
    link.textContent = id;
    link.title = id;
    link.href = BOX + id;
    if (id === this.#open) link.setAttribute("aria-current", "true");
    this.#sight.observe(row);
    const values = [...row.querySelectorAll(".value")];
    const names = [".labels", ".state", ".is", ".since", "path"];
    const [labels, state, is, since, spark] = names.map((part) => row.querySelector(part));
    return { row, parts: { labels, state, is, since, spark, values }, isInSight: false, isOld: true };
  }

  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const entry = this.#rows.get(target.dataset.id);
      if (entry) entry.isInSight = isIntersecting;
    }
    this.#paint();
  }

  /** Paints what is old. Returns the number of rows. */
  #paint() {
    let painted = 0;
    for (const [id, entry] of this.#rows) painted += entry.isInSight && this.#paintRow(id, entry);
    for (let turn = 0; turn < OUT_OF_SIGHT; turn += 1) {
      const { value: id, done } = this.#turns.next();
      if (done) {
        this.#turns = this.#rows.keys();
        break;
      }
      painted += this.#paintRow(id, this.#rows.get(id));
    }
    return painted;
  }

  #paintRow(id, entry) {
    const { isOld } = entry;
    if (isOld) paint(entry, this.#fleet.boxes.get(id), this.#fleet);
    entry.isOld = false;
    return isOld;
  }

  #filter() {
    const counts = { all: 0, online: 0, away: 0 };
    const labels = new Map();
    let shown = 0;
    for (const [id, { row }] of this.#rows) {
      const { status } = this.#fleet.boxes.get(id);
      counts.all += 1;
      counts[status.online ? "online" : "away"] += 1;
      for (const label of status.labels) labels.set(label, (labels.get(label) ?? 0) + 1);
      const hidden = !this.#fits(id, status);
      if (row.hidden !== hidden) row.hidden = hidden;
      shown += !hidden;
    }
    for (const label of this.#labels) if (!labels.has(label)) labels.set(label, 0);
    const names = Object.keys(STATES).map((value) => ({ value, text: STATES[value], count: counts[value] }));
    chips($("states"), names, (value) => value === this.#state);
    const byLabel = [...labels].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    chips($("labels"), byLabel.map(([value, count]) => ({ value, text: value, count })), (value) => this.#labels.has(value));
    const total = this.#rows.size;
    set($("shown"), shown === total ? "" : `${shown} of ${plural(total, "box", "boxes")}`);
    $("empty").hidden = shown > 0;
    set($("empty"), total ? "The filters hide every box." : "The server has not seen a box yet.");
  }

  #fits(id, { online, labels }) {
    return (
      id.toLowerCase().includes(this.#search) &&
      (this.#state === "all" || online === (this.#state === "online")) &&
      (this.#labels.size === 0 || labels.some((label) => this.#labels.has(label)))
    );
  }

  /** Arrow keys, Home and End move through the boxes. */
  #move(event) {
    const links = () => [...$("rows").querySelectorAll("tr:not([hidden]) a")];
    const at = (all) => all.indexOf(document.activeElement);
    const to = {
      ArrowDown: (all) => at(all) + 1,
      ArrowUp: (all) => at(all) - 1,
      Home: () => 0,
      End: (all) => all.length - 1,
    }[event.key];
    if (!to || event.ctrlKey || event.altKey || event.metaKey) return;
    const all = links();
    const next = all[to(all)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}

function paint({ row, parts }, { status, sample, recent }, fleet) {
  const { online, since, reason, labels, version } = status;
  row.dataset.is = online ? "online" : "away";
  set(parts.labels, labels.join(", "));
  set(parts.is, online ? "online" : "away");
  set(parts.since, `since ${time(Number(since), fleet.now)}`);
  parts.state.title = `since ${exactTime(Number(since), fleet.now)}${reason ? `: ${reason}` : ""}`;
  parts.spark.setAttribute("d", sparkline(recent));
  // The values of a box that is away are old, and are not shown.
  const live = online ? sample : null;
  const texts = [
    percent(live?.cpu),
    percent(live?.memory),
    bytes(live?.received),
    bytes(live?.sent),
    latency(live?.latency),
    String(status.reconnects),
    status.outbox === null ? NOTHING : String(status.outbox),
    String(status.mailbox),
    version === null ? NOTHING : `v${version}`,
  ];
  texts.forEach((text, at) => set(parts.values[at], text));
  const [outbox, mailbox, shownVersion] = parts.values.slice(-3);
  outbox.classList.toggle("waits", status.outbox > 0);
  mailbox.classList.toggle("waits", status.mailbox > 0);
  shownVersion.classList.toggle("waits", version !== null && version !== fleet.version);
}

/** Shows buttons, of which some are pressed. A button that stays keeps the focus. */
function chips(group, wanted, isPressed) {
  const before = new Map([...group.children].map((button) => [button.value, button]));
  const buttons = wanted.map(({ value, text, count }) => {
    const button = before.get(value) ?? document.createElement("button");
    button.type = "button";
    button.value = value;
    set(button, `${text} ${count}`);
    button.setAttribute("aria-pressed", isPressed(value));
    return button;
  });
  const isSame = buttons.length === group.children.length && buttons.every((button, at) => button === group.children[at]);
  if (!isSame) group.replaceChildren(...buttons);
}

/** Changes a text only if it differs. */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
