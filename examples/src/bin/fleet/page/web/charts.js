// Lines as paths of SVG: their colours come from the style sheet, also in the dark.
import { duration } from "./words.js";

/** Samples further apart than this are not joined, in milliseconds. */
const GAP = 5000;
/** Least and greatest length of a chart, in milliseconds. It grows with its samples. */
const LENGTHS = [60_000, 300_000];
/** Size of a chart in its own units. */
const [WIDTH, HEIGHT] = [300, 100];

/** The path of a list's small chart: one unit for each value, which is a percentage. */
export function sparkline(values) {
  const first = 60 - values.length;
  return values.map((value, at) => `${at ? "L" : "M"}${first + at} ${(98 - value * 0.96).toFixed(1)}`).join("");
}

/** A chart of the last minutes. `series` are functions from a sample to its number, or `null`. */
export class Chart {
  /** The figure, for the document. */
  element = document.getElementById("chart").content.firstElementChild.cloneNode(true);
  #title;
  #series;
  #words;
  #most;

  /** `most` is the top of the scale; without it, the highest value is. */
  constructor(title, series, words, most) {
    this.#title = title;
    this.#series = series;
    this.#words = words;
    this.#most = most;
    this.#part(".title").textContent = title;
  }

  /** Draws samples that end at this time. Without a connection, the newest one is old. */
  draw(samples, now, isLive) {
    const [least, greatest] = LENGTHS;
    const length = Math.min(greatest, Math.max(least, now - Number(samples[0]?.at ?? now)));
    const seen = samples.filter((sample) => Number(sample.at) >= now - length);
    const values = seen.flatMap((sample) => this.#series.map((of) => of(sample)).filter((value) => value !== null));
    const most = this.#most ?? scale(values);
    const paths = this.#series.map((of) => path(seen, of, most, now, length));
    const [line, second] = this.element.querySelectorAll(".line");
    line.setAttribute("d", paths[0]);
    second.setAttribute("d", paths[1] ?? "");
    this.#part(".area").setAttribute("d", paths.length > 1 ? "" : area(paths[0]));
    this.#part(".from").textContent = `${duration(length)} ago`;
    this.#part(".top-value").textContent = `top: ${this.#words(most)}`;
    const newest = isLive ? seen.at(-1) : undefined;
    const latest = newest ? this.#series.map((of) => this.#words(of(newest))) : [this.#words(null)];
    this.#part(".now").textContent = latest.join(" / ");
    const highest = values.length ? `, highest ${this.#words(Math.max(...values))}` : "";
    this.#part("svg").setAttribute("aria-label", `${this.#title}, last ${duration(length)}: now ${latest.join(" and ")}${highest}`);
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}

function path(samples, of, most, now, length) {
  let text = "";
  let before = -Infinity;
  for (const sample of samples) {
    const value = of(sample);
    if (value === null) continue;
    const at = Number(sample.at);
    const x = WIDTH - ((now - at) / length) * WIDTH;
    const y = HEIGHT - 1 - (Math.min(value, most) / most) * (HEIGHT - 2);
    text += `${at - before > GAP ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    before = at;
  }
  return text;
}

/** The area below a line, also below each part of one with gaps. */
function area(line) {
  const parts = line.split("M").filter((part) => part.includes("L"));
  return parts
    .map((part) => {
      const points = part.split("L");
      const x = (point) => point.split(" ")[0];
      return `M${x(points[0])} ${HEIGHT}L${points.join("L")}L${x(points.at(-1))} ${HEIGHT}Z`;
    })
    .join("");
}

/** The next of 1, 2, 5, 10, 20 … above all values. */
function scale(values) {
  const highest = Math.max(1, ...values);
  const power = 10 ** Math.floor(Math.log10(highest));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= highest);
}
