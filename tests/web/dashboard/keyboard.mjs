// Everything can be reached and used by keyboard, and the focus is always visible.
import assert from "node:assert/strict";
import { openPage, waitForText } from "./browser.mjs";
import { startBox, startServer } from "./programs.mjs";

/** The element that has the focus, as a person would name it, and whether the focus is visible. */
const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const [label] = element.labels ?? [];
    const name = (label ?? element).textContent.trim().replace(/\s+/g, " ");
    return { name, isVisible: outlineStyle !== "none" && outlineWidth !== "0px" };
  });

export async function keyboard() {
  const server = await startServer();
  for (const id of ["north-1", "north-2"]) startBox(server, id);
  const page = await openPage(server);
  await waitForText(page.locator("#summary"), "2 of 2 boxes online");
  const press = async (key, wanted) => {
    await page.keyboard.press(key);
    const { name, isVisible } = await focused(page);
    assert.match(name, wanted, `after ${key}`);
    assert(isVisible, `the focus on ${name} is not visible`);
  };
  await press("Tab", /^Skip to the boxes$/);
  await press("Enter", /^Boxes/);
  await press("Tab", /^Find a box/);
  for (const chip of [/^All 2$/, /^Online 2$/, /^Away 0$/, /^north 2$/]) await press("Tab", chip);
  await page.keyboard.press("Space");
  assert.equal(await page.getByRole("button", { name: "north 2" }).getAttribute("aria-pressed"), "true");
  await press("Tab", /^north-1$/);
  await press("ArrowDown", /^north-2$/);
  await press("ArrowUp", /^north-1$/);
  await press("End", /^north-2$/);
  await press("Home", /^north-1$/);
  await press("Enter", /^north-1$/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "details-title");
  await press("Tab", /^Close$/);
  await press("Tab", /^Check its health$/);
  await page.keyboard.press("Enter");
  await waitForText(page.locator(".answer"), /^north-1 is well\. /);
  assert.equal((await focused(page)).name, "Check its health", "the focus stays");
  await press("Tab", /^Samples per second$/);
  await press("Tab", /^Set the rate$/);
  await press("Tab", /^Notice$/);
  await page.keyboard.type("hello");
  await page.keyboard.press("Enter");
  await waitForText(page.locator(".answer"), "The notice is on its way to north-1.");
  await press("Escape", /^north-1$/);
  assert.equal(await page.locator("#details").isVisible(), false);
  await press("/", /^Find a box/);
  // New values and new boxes leave the focus where it is.
  await page.locator("#rows a").first().focus();
  startBox(server, "aaa-1");
  await waitForText(page.locator("#summary"), "3 of 3 boxes online");
  assert.equal((await focused(page)).name, "north-1");
  await page.end();
}
