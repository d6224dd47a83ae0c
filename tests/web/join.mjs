// Joins the modules of the client to wsx/src/contract/export/client.ts, and compiles that and
// store.ts to JavaScript. With `--check`, compares instead, and fails if a file is stale.
import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";

const FOLDER = new URL("../../wsx/src/contract/export/", import.meta.url);
/** What a reader wants to see first is first. */
const MODULES = [
  "client", "side", "options", "errors", "requests", "handling", "link", "backoff", "delivery", "outbox",
  "inbox", "kept", "envelope", "json",
];
const HEAD = `// The client of wsx for browsers and Node, which depends on nothing. Its source is in the folder
// client of the crate, a module for each idea; this file joins them.
`;

const read = (path) => readFileSync(new URL(path, FOLDER), "utf8").replaceAll("\r\n", "\n");

/** The names that index.ts exports. */
const names = new Set(
  [...read("client/index.ts").matchAll(/\{([^}]*)\}/g)].flatMap(([, list]) => list.split(",").map((name) => name.trim().replace(/^type /, ""))),
);

function part(name) {
  const text = read(`client/${name}.ts`)
    .replace(/^import [^;]*;\n/gm, "")
    .replace(/^export ((?:type|interface|class|const|function|async function) (\w+))/gm, (whole, rest, own) =>
      names.has(own) ? whole : rest,
    );
  return `\n// ---- ${name} ----\n\n${text.trim()}\n`;
}

const joined = HEAD + MODULES.map(part).join("");
const compiled = (text) =>
  ts.transpileModule(text, {
    compilerOptions: { target: "es2022", module: "es2022", removeComments: true, newLine: "lf", useDefineForClassFields: false },
  }).outputText;

const made = [["client.ts", joined], ["client.js", compiled(joined)], ["store.js", compiled(read("store.ts"))]];
const stale = made.filter(([name, text]) => {
  try {
    return read(name) !== text;
  } catch {
    return true;
  }
});
if (process.argv.includes("--check")) {
  for (const [name] of stale) console.error(`${name} is stale: run 'node tests/web/join.mjs', and commit it`);
  process.exitCode = stale.length ? 1 : 0;
} else {
  for (const [name, text] of stale) writeFileSync(new URL(name, FOLDER), text);
}
