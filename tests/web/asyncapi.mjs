// Parses a document of AsyncAPI, and validates envelopes against the payloads of its messages:
//
//     node asyncapi.mjs asyncapi.json envelopes.json
//
// The second file is a list of [message, envelope]. It prints a line for each error or warning of
// the document, and one for each envelope: `MESSAGE: valid`, or why not.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import Ajv from "ajv";

const [documentFile, envelopesFile] = process.argv.slice(2);
const text = readFileSync(documentFile, "utf8");

const { document, diagnostics } = await new Parser().parse(text);
// 0 is an error, and 1 a warning. Others are advice.
for (const { code, message, path, severity } of diagnostics.filter(({ severity }) => severity < 2)) {
  console.log(`${severity === 0 ? "error" : "warning"} at ${path.join(".")}: ${code}: ${message}`);
}
if (document === undefined) {
  console.log("error: it is not a document");
  process.exit();
}
console.log(`operations with a reply: ${document.operations().filter((operation) => operation.reply()).length}`);

// The formats of integers are names of Rust. Others, such as date-time, are not checked.
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema(JSON.parse(text), "document");
for (const [message, envelope] of JSON.parse(readFileSync(envelopesFile, "utf8"))) {
  const key = message.replaceAll("~", "~0").replaceAll("/", "~1");
  const validate = ajv.compile({ $ref: `document#/components/messages/${encodeURIComponent(key)}/payload` });
  const words = validate(JSON.parse(envelope)) ? "valid" : ajv.errorsText(validate.errors);
  console.log(`${message}: ${words}`);
}
