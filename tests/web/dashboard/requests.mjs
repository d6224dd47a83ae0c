// A person sends a box a request, and sees its reply, or the reason for a missing one.
import { fact, openPage, waitForText } from "./browser.mjs";
import { playBox, startBox, startServer } from "./programs.mjs";

export async function requests() {
  const server = await startServer();
  startBox(server, "north-1");
  const page = await openPage(server);
  const answer = page.locator(".answer");
  const check = () => page.getByRole("button", { name: "Check its health" }).click();
  await page.getByRole("link", { name: "north-1" }).click();
  await check();
  await waitForText(answer, /^north-1 is well\. Its host has been up for \d+ \w+, with load \d+\.\d\d\. It answered in \d/);
  await page.getByLabel("Samples per second").fill("7");
  await page.getByRole("button", { name: "Set the rate" }).click();
  await waitForText(answer, /^north-1 now sends 7 samples per second, before \d+\./);
  await waitForText(fact(page, "rate"), "7 per second");
  await waitForText(page.locator("#notice-list li").first(), /a person changed the rate of north-1 from \d+ to 7 /);
  await page.getByLabel("Notice", { exact: true }).fill("<b>good</b> morning");
  await page.getByRole("button", { name: "Send it" }).click();
  await waitForText(answer, "The notice is on its way to north-1.");

  // Boxes that fail, are busy, or do not reply at all.
  const played = await playBox(server, "odd-1");
  let reply = { type: "check_health", err: { code: "failed", message: "<i>no</i> sensors" } };
  played.answer("check_health", () => reply);
  await page.goto(`${server.url}#box=odd-1`);
  await waitForText(fact(page, "state"), /^online/);
  await check();
  await waitForText(answer, "odd-1 did not answer: the peer's handler failed: <i>no</i> sensors.");
  reply = { type: "check_health", err: { code: "busy" } };
  await check();
  await waitForText(answer, "odd-1 did not answer: the peer is busy: too many requests wait there.");
  reply = null;
  await check();
  await waitForText(answer, "odd-1 did not answer: the peer did not reply in time.");
  played.close();
  await waitForText(fact(page, "state"), /^away/);
  await check();
  await waitForText(answer, "odd-1 did not answer: the box is not connected.");
  await page.goto(`${server.url}#box=stranger`);
  await waitForText(fact(page, "state"), "not known to the server");
  await check();
  await waitForText(answer, "stranger did not answer: the server does not know this box.");
  await page.end();
}
