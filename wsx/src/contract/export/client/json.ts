// JSON with exact integers: one that a number cannot hold is read and written as a bigint.
//
// Newer engines show the digits to `JSON.parse` and take them in `JSON.rawJSON`. This marks the
// integers in the text, which needs neither, and has the same result everywhere.

/** A string or a number. Outside of strings, valid JSON has digits only in numbers. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;

/** Returns a text that no peer can guess, to mark the integers in a text. */
const newMark = () => `${Math.random()} `;

/** Parses JSON. Integers beyond ±(2^53 - 1) are bigints. */
export function parse(text: string): unknown {
  const plain: unknown = JSON.parse(text);
  if (!/\d{16}/.test(text)) return plain;
  const mark = newMark();
  // The text is valid, so each match is a whole token.
  const marked = text.replace(TOKEN, (token) =>
    /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${mark}${token}"` : token,
  );
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/** Writes JSON. A bigint is written as its digits. Throws for NaN and the infinities. */
export function stringify(value: unknown): string {
  const mark = newMark();
  const text = JSON.stringify(value, (key, value: unknown) => {
    if (typeof value === "bigint") return mark + value;
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`"${key}" is ${value}`);
    return value;
  }) as string | undefined;
  if (text === undefined) throw new TypeError(`a ${typeof value} is not JSON`);
  return text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1");
}
