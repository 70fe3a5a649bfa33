// For everybody: by keys alone, and by whatever reads a page aloud.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { AxeBuilder } from "@axe-core/playwright";

import { deskOf, deskPage, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, openBrowser, openPage, startDesk } from "./harness.mjs";
import { deliver, visitor, written } from "./seed.mjs";

const SCREENS = (id) => [
  "/", "/desk/inbox/unanswered", `/desk/inbox/unanswered/${id}`, "/desk/inbox/mine", "/desk/inbox/spam", "/desk/stream", `/desk/stream/${id}`, "/desk/bell",
  "/desk/settings", "/desk/settings/you", "/desk/settings/devices", "/desk/settings/hooks", "/desk/settings/hours", "/desk/settings/channels", "/desk/settings/people", "/desk/settings/teams", "/desk/settings/labels",
  "/desk/settings/replies", "/desk/settings/tokens", "/desk/settings/audit", "/desk/settings/data", "/desk/settings/views", "/desk/settings/shop",
];

describe("access", { skip: WITHOUT_DAEMON, timeout: 1_200_000 }, () => {
  let browser;
  let desk;
  let ana;
  let customer;

  before(async () => {
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]);
    ana = await staff(desk);
    customer = await visitor(desk, { name: "Jana Nováková" });
    await customer.say("Can I have it by Friday? https://shop.example/fern");
    await deliver(desk, [written(1, "Hello?", { at: Date.now() - 60_000 }), written(2, "Old words", { at: Date.now() - 9 * 24 * 3_600_000 })]);
    await desk.message("Old words");
    await desk.ask("POST", `conversations/${customer.conversation.id}/messages`, { text: "She asked by phone, too", private: true });
    await desk.ask("PATCH", `conversations/${customer.conversation.id}`, { labels: ["gift"], priority: "high" });
  });
  after(() => Promise.all([browser?.close(), desk?.stop()]));

  const violations = async (page) => (await new AxeBuilder({ page }).analyze()).violations
    .map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target.flat().join(" ")} ${node.failureSummary?.split("\n")[1]?.trim() ?? ""}`).join(" | ")}`);

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1440, 1024, 390]) {
      test(`axe finds nothing on any screen, ${colorScheme}, ${width} wide`, async () => {
        const options = { colorScheme, viewport: { width, height: 844 }, reducedMotion: "reduce" };
        const stranger = await openPage(await browser.newContext(options), `${desk.origin}/signin`);
        await stranger.getByRole("button", { name: "Sign in" }).waitFor();
        const found = (await violations(stranger)).map((one) => `/signin ${one}`);
        await stranger.context().close();
        const page = await deskPage(browser, desk, ana, options);
        for (const path of SCREENS(customer.conversation.id)) {
          await page.goto(`${desk.origin}${path}`);
          await page.locator("html[data-hearing]").waitFor();
          await page.waitForTimeout(400);
          found.push(...(await violations(page)).map((one) => `${path} ${one}`));
          if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${path} is wider than the screen`);
        }
        assert.deepEqual(found, []);
        assert.deepEqual(page.wrong, []);
        await page.context().close();
      });
    }
  }

  test("a whole answer without a mouse", async () => {
    const page = await deskPage(browser, desk, ana);
    const view = deskOf(page);
    await view.row("Hello?").waitFor();
    const reached = () => page.evaluate(() => document.activeElement?.getAttribute("data-row"));
    const wanted = await view.row("Hello?").getAttribute("data-row");
    // Into the list by Tab, through it by the arrows, into the conversation by Enter.
    for (let steps = 0; steps < 60 && !(await reached()); steps += 1) await page.keyboard.press("Tab");
    assert.ok(await reached(), "Tab comes to the list");
    for (let steps = 0; steps < 10 && (await reached()) !== wanted; steps += 1) await page.keyboard.press("ArrowDown");
    for (let steps = 0; steps < 10 && (await reached()) !== wanted; steps += 1) await page.keyboard.press("ArrowUp");
    assert.equal(await reached(), wanted);
    await page.keyboard.press("Enter");
    await view.thread.getByText("Hello?").waitFor();
    await page.keyboard.press("t");
    await eventually(async () => (await desk.get(`conversations/${wanted}`)).assignee_id === ana.id, "taken by a key");
    await page.keyboard.press("r");
    await eventually(() => page.evaluate(() => document.activeElement?.localName === "textarea"), "the field");
    await page.keyboard.type("By keys alone");
    await page.keyboard.press("Control+Enter");
    await eventually(async () => (await desk.timesStored("By keys alone")) === 1, "the answer");
    await page.keyboard.press("Escape");
    for (let steps = 0; steps < 3 && (await page.evaluate(() => document.activeElement?.localName === "textarea")); steps += 1) await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("e");
    await eventually(async () => (await desk.get(`conversations/${wanted}`)).status === "resolved", "resolved by a key");
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });

  test("the focus is seen wherever Tab goes, and never caught", async () => {
    const page = await deskPage(browser, desk, ana, { path: `/desk/inbox/unanswered/${customer.conversation.id}` });
    await deskOf(page).field.waitFor();
    await page.evaluate(() => document.activeElement?.blur());
    const seen = new Set();
    for (let steps = 0; steps < 120; steps += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return null;
        const shown = [element, element.parentElement, ...element.children].filter(Boolean).some((one) => {
          const style = getComputedStyle(one);
          return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== "none";
        });
        return { name: element.getAttribute("aria-label") ?? element.textContent?.trim().slice(0, 40) ?? element.localName, shown };
      });
      if (at === null) {
        if (seen.size > 10) break;
        continue;
      }
      assert.ok(at.shown, `no focus to be seen on ${at.name}`);
      seen.add(at.name);
    }
    assert.ok(seen.size > 10, [...seen].join(", "));
    await page.context().close();
  });

  test("targets are large enough, with a mouse and with a finger", async () => {
    for (const [options, least] of [[{ viewport: { width: 1440, height: 900 } }, 24], [{ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }, 32]]) {
      const page = await deskPage(browser, desk, ana, { ...options, path: `/desk/inbox/unanswered/${customer.conversation.id}` });
      await deskOf(page).field.waitFor();
      const small = await page.evaluate((size) => [...document.querySelectorAll("button, a[href], input, select, [role=button]")].flatMap((element) => {
        const { width, height } = element.getBoundingClientRect();
        // Links within a text are as high as its lines.
        const inText = element.localName === "a" && getComputedStyle(element).display === "inline";
        if (!element.checkVisibility({ visibilityProperty: true }) || width <= 1 || inText || element.closest(".sr-only, [data-message]")) return [];
        return width < size || height < size ? [`${element.getAttribute("aria-label") ?? element.textContent.trim()} ${Math.round(width)}×${Math.round(height)}`] : [];
      }), least);
      assert.deepEqual(small, []);
      await page.context().close();
    }
  });
});
