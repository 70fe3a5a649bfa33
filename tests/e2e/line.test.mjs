// The line to the daemon is away: nothing that was written is lost, nothing is there twice.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { deskOf, deskPage, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, lineTo, openBrowser, startDesk } from "./harness.mjs";
import { deliver, visitor, written } from "./seed.mjs";

describe("the line", { skip: WITHOUT_DAEMON, timeout: 900_000 }, () => {
  let browser;
  let desk;
  let line;
  let ana;
  const open = [];

  before(async () => {
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]);
    [ana, line] = await Promise.all([staff(desk), lineTo(desk)]);
  });
  after(() => Promise.all([browser?.close(), line?.close(), desk?.stop()]));
  afterEach(async () => {
    for (const page of open.splice(0)) {
      assert.deepEqual(page.wrong, []);
      await page.context().close();
    }
  });
  const at = async (options) => {
    const page = await deskPage(browser, line, ana, options);
    open.push(page);
    return page;
  };
  const away = (page) => page.getByText(/^Not connected since/);
  const shown = (page, text) => page.locator("[data-message]", { hasText: text });

  test("an answer that is written offline waits, and is sent once", async () => {
    const customer = await visitor(desk, { name: "Jana Nováková" });
    await customer.say("Before the tunnel");
    const page = await at();
    const view = deskOf(page);
    await view.open("Before the tunnel");
    line.cut();
    await away(page).waitFor();
    await view.answer("Written in the tunnel");
    await view.answer("And another");
    await page.getByText(/waits for the connection/).first().waitFor();
    assert.equal(await desk.timesStored("Written in the tunnel"), 0);
    await customer.say("Meanwhile");
    line.mend();
    await eventually(async () => (await desk.timesStored("And another")) === 1, "the answers");
    assert.equal(await desk.timesStored("Written in the tunnel"), 1);
    await view.thread.getByText("Meanwhile").waitFor();
    for (const text of ["Before the tunnel", "Written in the tunnel", "And another", "Meanwhile"]) {
      await eventually(async () => (await view.thread.getByText(text, { exact: true }).count()) === 1, `${text} once`);
    }
    const texts = (await customer.messages()).map((message) => message.text).reverse();
    assert.deepEqual(texts.filter((text) => /tunnel$|another/.test(text)), ["Before the tunnel", "Written in the tunnel", "And another"]);
  });

  test("an answer whose acknowledgement is lost is not sent twice", async () => {
    const customer = await visitor(desk, { name: "Ewa Zielińska" });
    await customer.say("Answer me once");
    const page = await at();
    const view = deskOf(page);
    await view.open("Answer me once");
    let tries = 0;
    await page.route(/\/conversations\/[^/]+\/messages$/, async (route) => {
      if (route.request().method() !== "POST") return route.continue();
      tries += 1;
      if (tries === 1) return route.abort("internetdisconnected");
      if (tries === 2) {
        await route.fetch();
        return route.abort("connectionreset");
      }
      return route.continue();
    });
    await view.answer("Once and for all");
    await eventually(async () => tries >= 3, "a third try", 60);
    await page.waitForTimeout(1_500);
    assert.equal(await desk.timesStored("Once and for all"), 1);
    assert.equal(await view.thread.getByText("Once and for all").count(), 1);
  });

  test("f01 the daemon is killed and comes back: the desk says since when, what is written waits, nothing is missing", async () => {
    const customer = await visitor(desk, { name: "Tomáš Dvořák" });
    await customer.say("Before the power went");
    const page = await at();
    const view = deskOf(page);
    await view.open("Before the power went");
    await desk.kill();
    await away(page).waitFor();
    await view.answer("Written while it was dark");
    await desk.start();
    await deliver(desk, written(930_001, "First thing after"));
    await eventually(async () => (await desk.timesStored("Written while it was dark")) === 1, "the answer", 60);
    await away(page).waitFor({ state: "detached" });
    await view.row("First thing after").waitFor();
    await customer.say("And I am still here");
    await view.thread.getByText("And I am still here").waitFor();
    for (const text of ["Before the power went", "Written while it was dark", "And I am still here"]) {
      assert.equal(await view.thread.getByText(text, { exact: true }).count(), 1, text);
      assert.equal(await desk.timesStored(text), 1, text);
    }
  });

  test("f32 two hundred messages while the line is away are all there afterwards, once", async () => {
    const page = await at();
    line.cut();
    for (let part = 0; part < 10; part += 1) {
      await deliver(desk, Array.from({ length: 20 }, (_, n) => written(940_001, `Missed ${String(part * 20 + n).padStart(3, "0")}.`, { at: Date.now() - (200 - part * 20 - n) * 1000 })));
    }
    const { conversation_id: id } = await desk.message("Missed 199.");
    line.mend();
    const view = deskOf(page);
    await view.open("Missed 199.");
    const seen = new Set();
    const read = async () => {
      for (const text of await page.locator("[data-message]").allTextContents()) {
        const number = /Missed (\d+)\./.exec(text)?.[1];
        if (number) seen.add(Number(number));
      }
    };
    await view.thread.hover();
    for (let turn = 0; turn < 60 && seen.size < 200; turn += 1) {
      await read();
      await page.mouse.wheel(0, -500);
      await page.waitForTimeout(120);
    }
    assert.equal(seen.size, 200);
    const stored = await desk.get(`conversations/${id}/messages?limit=200`);
    assert.equal(stored.data.length, 200);
  });

  test("a list that could not be read is read by itself, without a click", async () => {
    await deliver(desk, written(945_001, "Read by itself"));
    const context = await browser.newContext({ storageState: ana.state });
    let isAway = true;
    await context.route(/\/api\/v1\/conversations\?/, (route) => (isAway ? route.abort() : route.continue()));
    const page = await deskPage(browser, line, ana, { context });
    open.push(page);
    await page.getByRole("button", { name: "Try again" }).waitFor();
    isAway = false;
    await deskOf(page).row("Read by itself").first().waitFor();
  });

  test("two tabs read one stream, and each shows each message once", async () => {
    const page = await at();
    const other = await deskPage(browser, line, ana, { context: page.context() });
    const streams = async () => {
      const metrics = await (await fetch(`${desk.origin}/metrics`)).text();
      return metrics.split("\n").filter((line) => /^deskbell_\w*streams?\w*(\{.*\})? /.test(line)).join("\n");
    };
    await deliver(desk, written(950_001, "For both tabs"));
    for (const one of [page, other]) {
      await deskOf(one).row("For both tabs").waitFor();
      assert.equal(await deskOf(one).row("For both tabs").count(), 1);
    }
    assert.match(await streams(), / 1$/m);
  });

  test("s04 who is signed out elsewhere is asked to sign in, and comes back to the same place", async () => {
    const boris = await staff(desk, { email: "boris@shop.example", name: "Boris Kling", role: "agent" });
    const page = await deskPage(browser, desk, boris, { path: "/desk/inbox/open" });
    open.push(page);
    await desk.ask("DELETE", `users/${boris.id}/sessions`);
    await page.getByRole("button", { name: "Sign in" }).waitFor({ timeout: 30_000 });
    assert.match(new URL(page.url()).search, /return=%2Fdesk%2Finbox%2Fopen/);
  });

  test("where the browser has no SharedWorker the tab reads the stream itself", async () => {
    const context = await browser.newContext({ storageState: ana.state });
    await context.addInitScript(() => { delete window.SharedWorker; });
    const page = await at({ context });
    await deliver(desk, written(960_001, "Without a worker"));
    await deskOf(page).row("Without a worker").waitFor();
    await shown(page, "nothing").count();
  });

  test("after a restored backup the numbers begin lower: the desk reads anew and shows what is there", async () => {
    const page = await at();
    await deliver(desk, written(970_001, "In the backup"));
    await deskOf(page).row("In the backup").waitFor();
    await desk.run("backup", "kept.tar");
    await deliver(desk, written(970_002, "After the backup"));
    await deskOf(page).row("After the backup").waitFor();
    await desk.kill();
    const { rename } = await import("node:fs/promises");
    await rename(`${desk.directory}/data`, `${desk.directory}/data.old`);
    await desk.run("restore", "kept.tar");
    await desk.start();
    await away(page).waitFor({ state: "detached", timeout: 60_000 });
    await deskOf(page).row("In the backup").waitFor();
    await deskOf(page).row("After the backup").waitFor({ state: "detached" });
    await deliver(desk, written(970_003, "Life goes on"));
    await deskOf(page).row("Life goes on").waitFor();
  });
});
