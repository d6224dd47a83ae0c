// Numbers and times as people read them. `now` is always the server's clock, in milliseconds.

const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Stands for a value that does not exist. */
export const NOTHING = "–";

/** A time of day, with the date if it is not today. */
export function time(at, now, clock = minute) {
  const [then, today] = [new Date(at), new Date(now)];
  const date = then.toDateString() === today.toDateString() ? "" : `${day.format(then)}, `;
  return date + clock.format(then);
}

export const exactTime = (at, now) => time(at, now, second);

/** A length of time, with its largest unit: `12 s`, `5 min`, `3 h`, `2 days`. */
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 2 * 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}

/** A number of bytes, which may be a bigint. */
export function bytes(count) {
  if (count === null || count === undefined) return NOTHING;
  let value = Number(count);
  for (const unit of ["B", "KB", "MB"]) {
    if (value < 999.5) return `${number(value)} ${unit}`;
    value /= 1000;
  }
  return `${number(value)} GB`;
}

/** Bytes per second. */
export const rate = (count) => (count === null || count === undefined ? NOTHING : `${bytes(count)}/s`);

/** A short time, from microseconds. */
export function latency(us) {
  if (us === null || us === undefined) return NOTHING;
  if (us < 1000) return `${us} µs`;
  return us < 999_500 ? `${number(us / 1000)} ms` : `${number(us / 1e6)} s`;
}

/** Three digits are enough. */
function number(value) {
  if (value >= 99.95 || Number.isInteger(value)) return String(Math.round(value));
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

export const percent = (value) => (value === null || value === undefined ? NOTHING : `${value}%`);

/** `1 box`, `2 boxes`. */
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
