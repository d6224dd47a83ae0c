// What the page knows about the boxes. It does not know the document.

/** Samples of a box in the list. */
const RECENT = 60;
/** Samples of the open box, as many as the server keeps. */
const HISTORY = 300;
/** Notices, as many as the server keeps. */
const NOTICES = 50;

const byName = new Intl.Collator("en", { numeric: true }).compare;

export class Fleet {
  /** The boxes by name: `{ id, status, sample, recent }`. */
  boxes = new Map();
  /** The newest notice is the first. */
  notices = [];
  /** Version of the protocol that the server speaks. */
  version = 0;
  /** The time of the newest message. */
  now = Date.now();
  /** The samples of the box that is open, or `null` before they are here. */
  history = null;

  /** Takes the first message of a connection. */
  replace({ now, version, boxes, notices }) {
    this.now = Number(now);
    this.version = version;
    this.boxes = new Map();
    for (const { id, status, sample, recent_cpu: recent } of boxes.sort((a, b) => byName(a.id, b.id))) {
      this.boxes.set(id, { id, status, sample, recent });
    }
    this.notices = notices.reverse();
  }

  /** Takes what changed. Returns whether there are new boxes, and those that came or went. */
  change({ now, boxes, notices }, open) {
    this.now = Number(now);
    let isNew = false;
    const moved = [];
    for (const { id, status, sample } of boxes) {
      let box = this.boxes.get(id);
      if (!box) {
        box = { id, status, sample: null, recent: [] };
        this.boxes.set(id, box);
        isNew = true;
      }
      if (status) {
        if (status.online !== box.status.online) moved.push(id);
        box.status = status;
      }
      if (sample) {
        box.sample = sample;
        box.recent.push(sample.cpu);
        if (box.recent.length > RECENT) box.recent.shift();
        if (id === open) this.#remember(sample);
      }
    }
    if (isNew) this.boxes = new Map([...this.boxes].sort(([a], [b]) => byName(a, b)));
    this.notices = [...notices.reverse(), ...this.notices].slice(0, NOTICES);
    return { isNew, moved };
  }

  /** Boxes online. */
  online() {
    let count = 0;
    for (const { status } of this.boxes.values()) count += status.online;
    return count;
  }

  /** A sample may arrive before the history that has it too. */
  #remember(sample) {
    if (!this.history || this.history.at(-1)?.at >= sample.at) return;
    this.history.push(sample);
    if (this.history.length > HISTORY) this.history.shift();
  }
}
