// Prints the size of the client in bytes: minified, and minified and gzipped.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const client = fileURLToPath(new URL("../../wsx/src/contract/export/client.js", import.meta.url));
const built = buildSync({ entryPoints: [client], bundle: true, minify: true, format: "esm", write: false });
const { text } = built.outputFiles[0];
console.log(JSON.stringify({ minified: text.length, gzipped: gzipSync(text, { level: 9 }).length }));
