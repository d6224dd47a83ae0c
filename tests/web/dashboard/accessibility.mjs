// axe finds nothing, in light and dark, on a wide screen and on a phone, in each state of the page.
import assert from "node:assert/strict";
import axe from "axe-core";
import { cell, fact, openPage, waitForText } from "./browser.mjs";
import { playBox, startBox, startServer } from "./programs.mjs";

const SIZES = { wide: { width: 1280, height: 800 }, phone: { width: 360, height: 740 } };

export async function accessibility() {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const server = await startServer();
      const boxes = ["north-1", "north-2", "a-box-with-a-name-of-32-letters-"].map((id) => startBox(server, id));
      // More labels than fit side by side.
      for (let site = 1; site <= 12; site += 1) await playBox(server, `another-site-${site}-1`);
      // The policy of the page keeps axe out, as every script that is not the page's own.
      const page = await openPage(server, { colorScheme, viewport, reducedMotion: "reduce", bypassCSP: true });
      await page.evaluate(axe.source);
      const check = async (view) => {
        const { violations, passes } = await page.evaluate(() => axe.run());
        assert(passes.length > 20, "axe has looked");
        for (const { id, nodes } of violations) found.push(`${colorScheme} ${size} ${view}: ${id}: ${nodes[0].html}`);
        const [needed, there] = await page.evaluate(() => {
          const { scrollWidth, clientWidth } = document.documentElement;
          return [scrollWidth, clientWidth];
        });
        if (needed > there) found.push(`${colorScheme} ${size} ${view}: ${needed} px wide, of ${there}`);
        const moving = await page.evaluate(() => document.getAnimations().length);
        if (moving) found.push(`${colorScheme} ${size} ${view}: something moves, against the wish of the person`);
      };
      await waitForText(page.locator("#summary"), "15 of 15 boxes online");
      await waitForText(cell(page, "north-1", "CPU"), /^\d+%$/);
      await boxes[1].kill();
      await waitForText(page.locator("#summary"), "14 of 15 boxes online");
      await check("list");
      await page.getByRole("link", { name: "north-1" }).click();
      await page.getByRole("button", { name: "Check its health" }).click();
      await waitForText(page.locator(".answer"), /^north-1 is well\. /);
      await check("box");
      await page.goto(`${server.url}#box=north-2`);
      await waitForText(fact(page, "reason"), /./);
      await check("absent box");
      await server.kill();
      await waitForText(page.locator("#banner-text"), /^Not connected/);
      await check("link down");
      for (const box of boxes) await box.kill();
      await page.end();
    }
  }
  assert.deepEqual(found, []);
}
