// From a customer's Enter to the desk and back, and two people of the shop at one conversation.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { deskOf, deskPage, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, chatOf, eventually, lineTo, openBrowser, openPage, startDesk } from "./harness.mjs";
import { deliver, visitor, written } from "./seed.mjs";

/** From the webhook's answer on its way to the row that is painted, of 95 in 100. What is asserted has slack for a busy machine. */
const GOAL_MS = 150;
const SLACK = 3;

describe("live", { skip: WITHOUT_DAEMON, timeout: 600_000 }, () => {
  let browser;
  let desk;
  let ana;
  let boris;

  before(async () => {
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]);
    ana = await staff(desk);
    boris = await staff(desk, { email: "boris@shop.example", name: "Boris Kling", role: "agent" });
  });
  after(() => Promise.all([browser?.close(), desk?.stop()]));
  const settled = async (...pages) => {
    for (const page of pages) assert.deepEqual(page.wrong, []);
    await Promise.all(pages.map((page) => page.context().close()));
  };

  test("a visitor writes on the shop's website and the desk shows it; the answer shows in the chat", async () => {
    const [page, customer] = await Promise.all([deskPage(browser, desk, ana), openPage(await browser.newContext(), `${desk.origin}/try/website`)]);
    const [view, chat] = [deskOf(page), chatOf(customer)];
    await chat.open();
    await chat.say("Is the fern in stock?");
    await view.row("Is the fern in stock?").waitFor();
    assert.equal(await view.row("Is the fern in stock?").count(), 1);
    await view.open("Is the fern in stock?");
    await view.thread.getByText("Is the fern in stock?").waitFor();
    await view.answer("Yes, three of them. <b>Shall</b> we keep one?");
    await view.thread.getByText("Yes, three of them. <b>Shall</b> we keep one?").waitFor();
    await chat.turns.filter({ hasText: "Yes, three of them. <b>Shall</b> we keep one?" }).waitFor();
    assert.equal(await chat.turns.filter({ hasText: "three of them" }).count(), 1);
    assert.equal(await view.field.inputValue(), "");
    await chat.say("Please do");
    await view.thread.getByText("Please do").waitFor();
    await settled(page, customer);
  });

  test("from the webhook to the painted row, sixty times", async (t) => {
    const page = await deskPage(browser, desk, ana);
    await page.evaluate(() => {
      window.painted = {};
      new MutationObserver(() => {
        for (const { textContent: words } of document.querySelectorAll("[data-row]")) {
          const timed = /Timed (\d+)\./.exec(words)?.[1];
          if (timed === undefined || timed in window.painted) continue;
          window.painted[timed] = 0;
          requestAnimationFrame(() => setTimeout(() => { window.painted[timed] = Date.now(); }));
        }
      }).observe(document.body, { childList: true, subtree: true, characterData: true });
    });
    const took = [];
    for (let number = 0; number < 60; number += 1) {
      const before = Date.now();
      await deliver(desk, written(910_000, `Timed ${number}.`));
      await page.waitForFunction((key) => window.painted[key] > 0, number, { polling: 5, timeout: 20_000 });
      took.push(await page.evaluate((key) => window.painted[key], number) - before);
    }
    took.sort((a, b) => a - b);
    t.diagnostic(`webhook to painted row: median ${took[30]} ms, p95 ${took[56]} ms, most ${took[59]} ms; goal: p95 ${GOAL_MS} ms`);
    assert.ok(took[56] <= GOAL_MS * SLACK, `p95 ${took[56]} ms`);
    await settled(page);
  });

  test("two people at one conversation see each other, and one takes it", async () => {
    const customer = await visitor(desk, { name: "Jana Nováková" });
    await customer.say("Who helps me?");
    const pages = await Promise.all([deskPage(browser, desk, ana), deskPage(browser, desk, boris)]);
    const [anas, boriss] = pages.map(deskOf);
    await anas.open("Who helps me?");
    await boriss.open("Who helps me?");
    await pages[0].getByLabel(/Boris Kling/).or(pages[0].getByTitle(/Boris Kling/)).first().waitFor();
    await boriss.field.pressSequentially("I am", { delay: 30 });
    await pages[0].getByText("Boris Kling is writing a reply…").waitFor();
    await pages[0].getByRole("button", { name: "I take it" }).click();
    await eventually(async () => (await desk.get(`conversations/${customer.conversation.id}`)).assignee_id === ana.id, "taken by Ana");
    await pages[1].getByRole("button", { name: "I take it" }).waitFor({ state: "detached" });
    await pages[1].getByText(/Ana Kováčová/).first().waitFor();
    await settled(...pages);
  });

  test("two answers that cross: the second is asked about, and sent when its writer wants", async () => {
    const customer = await visitor(desk, { name: "Piotr Wiśniewski" });
    await customer.say("Do you deliver on Saturdays?");
    const line = await lineTo(desk);
    const pages = await Promise.all([deskPage(browser, desk, ana), deskPage(browser, line, boris)]);
    const [anas, boriss] = pages.map(deskOf);
    await anas.open("Do you deliver on Saturdays?");
    await boriss.open("Do you deliver on Saturdays?");
    // Boris has not seen Ana's answer when he sends his.
    line.cut();
    await boriss.field.fill("No, on Fridays");
    await anas.answer("We do, until noon");
    await eventually(async () => (await desk.timesStored("We do, until noon")) === 1, "Ana's answer");
    await boriss.field.press("Control+Enter");
    line.mend();
    await pages[1].getByText("Ana Kováčová answered meanwhile:").waitFor();
    assert.equal(await desk.timesStored("No, on Fridays"), 0);
    await pages[1].getByRole("button", { name: "Send anyway" }).click();
    await eventually(async () => (await desk.timesStored("No, on Fridays")) === 1, "Boris's answer");
    await eventually(async () => (await customer.messages()).length === 3, "both with the customer");
    await settled(...pages);
    await line.close();
  });

  test("an answer that is written before the messages are there crosses all the same", async () => {
    const customer = await visitor(desk, { name: "Eva Horáková" });
    await customer.say("Is the blue one sold?");
    const pages = await Promise.all([deskPage(browser, desk, ana), deskPage(browser, desk, boris)]);
    const [anas, boriss] = pages.map(deskOf);
    await boriss.row("Is the blue one sold?").waitFor();
    await pages[1].route(/\/messages\?limit=/, (route) => route.abort());
    await boriss.open("Is the blue one sold?");
    await anas.open("Is the blue one sold?");
    await anas.answer("It is, sorry");
    await eventually(async () => (await desk.timesStored("It is, sorry")) === 1, "Ana's answer");
    await boriss.answer("No, shall we send it?");
    await pages[1].unroute(/\/messages\?limit=/);
    await pages[1].getByText("Ana Kováčová answered meanwhile:").waitFor();
    assert.equal(await desk.timesStored("No, shall we send it?"), 0);
    await settled(...pages);
  });

  test("where the platform takes no reply any more, the desk says so and a note is still possible", async () => {
    await deliver(desk, written(920_001, "It was long ago", { at: Date.now() - 9 * 24 * 3_600_000 }));
    const { conversation_id: id } = await desk.message("It was long ago");
    const page = await deskPage(browser, desk, ana, { path: `/desk/inbox/open/${id}` });
    await page.getByText(/takes no more replies here|takes replies only for a while/).filter({ visible: true }).first().waitFor();
    assert.equal(await page.getByRole("textbox", { name: /^Reply to/ }).count(), 0);
    const note = page.getByRole("textbox", { name: "Note for colleagues" });
    await note.fill("Call her instead");
    await note.press("Control+Enter");
    await eventually(async () => (await desk.get(`conversations/${id}/messages`)).data.some((one) => one.text === "Call her instead" && one.kind === "note"), "the note");
    await settled(page);
  });
});
