// An open desk sounds by the rings of the bell: for whom they tell, when they tell them, and not while they wait.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { deskPage, staff } from "./desk.mjs";
import { eavesdrop, heard, soundsOf } from "./ears.mjs";
import { WITHOUT_DAEMON, eventually, openBrowser, startDesk } from "./harness.mjs";
import { deliver, written } from "./seed.mjs";

/** When the second step begins, in milliseconds. */
const SECOND = 9_000;
const STEPS = `
[bell]
steps = ["0s", "${SECOND / 1000}s", "600s"]
`;

describe("rings", { skip: WITHOUT_DAEMON, timeout: 900_000 }, () => {
  let browser;
  let desk;
  let ana;
  let bo;
  let customers = 0;
  let contexts = [];

  before(async () => {
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon", { config: STEPS })]);
    ana = await staff(desk);
    bo = await staff(desk, { email: "bo@shop.example", name: "Bo Novák", role: "agent" });
  });
  after(() => Promise.all([browser?.close(), desk?.stop()]));
  beforeEach(() => { contexts = []; });
  afterEach(async () => {
    for (const context of contexts) {
      for (const page of context.pages()) assert.deepEqual(page.wrong, []);
      await context.close();
    }
    await desk.ask("PUT", "channels/shop-page/hours", { open: null, after_hours: "ring" });
    await Promise.all([ana, bo].map(({ id }) => desk.ask("PUT", `users/${id}/hours`, { working: null, quiet: null })));
    for (let open; (open = (await desk.get("conversations?status=open&limit=200")).data).length > 0;) {
      await Promise.all(open.map(({ id }) => desk.ask("PATCH", `conversations/${id}`, { status: "resolved" })));
    }
    await eventually(async () => (await desk.get("bell?state=ringing")).data.length === 0, "a bell that is still", 60);
  });

  /** The desk of somebody, in a browser of their own, that may sound. */
  const deskOf = async (person, { preferences, path = "/" } = {}) => {
    const context = await browser.newContext({ storageState: person.state });
    contexts.push(context);
    await context.addInitScript(eavesdrop);
    if (preferences) await context.addInitScript((kept) => localStorage.setItem("deskbell.hearing", kept), JSON.stringify(preferences));
    const page = await deskPage(browser, desk, person, { context, path });
    await page.keyboard.press("Shift");
    await page.locator('html[data-hearing="on"]').waitFor({ state: "attached" });
    return page;
  };
  /** A customer writes; gives their conversation. */
  const writes = async (customer = (customers += 1), text = `Is it there? ${Date.now()}`) => {
    await deliver(desk, written(700_000 + customer, text));
    return (await desk.message(text)).conversation_id;
  };
  const rest = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
  const ringOf = (conversation) => eventually(async () => (await desk.get(`bell?conversation=${conversation}&state=ringing`)).data[0], "a ring");

  /** Hours that are over, or not yet: never now. */
  const closed = () => {
    const day = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"][(new Date().getUTCDay() + 3) % 7];
    return { time_zone: "UTC", spans: [{ day, from: "09:00", to: "10:00" }] };
  };

  test("while its channel is closed nothing sounds, also after a reload, and when it opens it does", async () => {
    await desk.ask("PUT", "channels/shop-page/hours", { open: closed(), after_hours: "hold" });
    const page = await deskOf(ana);
    const id = await writes();
    const ring = await ringOf(id);
    assert.deepEqual([ring.step, ring.silenced], [0, true]);
    await rest(5_000);
    assert.deepEqual(await soundsOf(page), []);
    await page.reload();
    await page.locator("html[data-hearing]").waitFor();
    await page.keyboard.press("Shift");
    await page.locator('html[data-hearing="on"]').waitFor({ state: "attached" });
    await rest(4_000);
    assert.deepEqual(await soundsOf(page), []);
    await desk.ask("PUT", "channels/shop-page/hours", { open: null });
    assert.equal((await heard(page, 1, 30))[0].sound, "chat");
  });

  test("f35 a ring sounds for whom it tells, and when nobody takes it for the next ones, as what nobody has taken", async () => {
    const id = await writes();
    await desk.ask("PATCH", `conversations/${id}`, { assignee_id: bo.id });
    const [mine, theirs] = [await deskOf(ana), await deskOf(bo)];
    await rest(1_000);
    const before = [(await soundsOf(mine)).length, (await soundsOf(theirs)).length];
    const wrote = Date.now();
    await writes(customers);
    const ring = await ringOf(id);
    assert.deepEqual([ring.step, ring.told], [1, [bo.id]]);
    await heard(theirs, before[1] + 1);
    await heard(mine, before[0] + 1, 40);
    const first = (await soundsOf(mine))[before[0]];
    assert.equal(first.sound, "nobody");
    assert.ok(first.at - wrote > SECOND - 500, `not before the second step: ${first.at - wrote} ms`);
    assert.deepEqual((await ringOf(id)).told.toSorted(), [ana.id, bo.id].toSorted());
  });

  test("f35 what began to ring while no desk was open has been shown once one is", async () => {
    const ring = await ringOf(await writes());
    assert.deepEqual(ring.attempts, []);
    await deskOf(ana);
    await eventually(async () => (await desk.get(`bell/${ring.id}`)).attempts.some(({ device, user_id, result }) => device === "desk" && user_id === ana.id && result === "shown"), "a line in the ledger", 8);
  });

  test("who wants to hear everything hears what rings for others, at once", async () => {
    const id = await writes();
    await desk.ask("PATCH", `conversations/${id}`, { assignee_id: bo.id });
    const page = await deskOf(ana, { preferences: { others: true, repeat: false } });
    await rest(1_000);
    const before = (await soundsOf(page)).length;
    const wrote = Date.now();
    await writes(customers);
    const sound = (await heard(page, before + 1))[before];
    assert.equal(sound.sound, "chat");
    assert.ok(sound.at - wrote < SECOND - 1_000, `before the second step: ${sound.at - wrote} ms`);
  });

  test("who is not on duty is left alone while somebody is", async () => {
    await desk.ask("PUT", `users/${ana.id}/hours`, { working: closed() });
    const [mine, theirs] = [await deskOf(ana), await deskOf(bo)];
    await writes();
    await heard(theirs, 1);
    // Past the second step, too.
    await rest(SECOND + 3_000);
    assert.deepEqual(await soundsOf(mine), []);
    assert.ok((await soundsOf(theirs)).length >= 2);
  });

  test("what was seen and not taken sounds again at the next step", async () => {
    const page = await deskOf(ana);
    const id = await writes();
    await heard(page, 1);
    // Looked at for a moment, and left.
    await page.goto(`${desk.origin}/desk/inbox/unanswered/${id}`);
    await page.locator("html[data-hearing]").waitFor();
    await page.mouse.move(300, 300);
    await page.keyboard.press("Shift");
    await rest(1_000);
    assert.deepEqual(await soundsOf(page), []);
    assert.equal((await heard(page, 1, 30))[0].sound, "nobody");
    assert.equal((await ringOf(id)).step, 2);
  });

  test("f35 an alarm sounds and is seen by administrators until somebody takes it", async () => {
    await Promise.all([ana, bo].map(({ id }) => desk.ask("PUT", `users/${id}/hours`, { working: closed() })));
    // Nothing but alarms.
    const only = { chat: false, mail: false };
    const [page, agent] = [await deskOf(ana, { preferences: only }), await deskOf(bo, { preferences: only })];
    const id = await writes();
    const alarm = await eventually(async () => (await desk.get("bell?state=ringing")).data.find(({ kind }) => kind === "nobody"), "an alarm", 60);
    assert.equal((await heard(page, 1, 30))[0].sound, "nobody");
    await page.getByRole("status").filter({ hasText: alarm.title }).waitFor();
    await page.getByRole("link", { name: "The bell" }).filter({ hasText: "1 alarm" }).waitFor();
    await eventually(async () => (await desk.get(`bell/${alarm.id}`)).attempts.some(({ device, user_id, result }) => device === "desk" && user_id === ana.id && result === "shown"), "a line in the ledger");
    await page.getByRole("link", { name: "See what to do" }).click();
    await page.waitForURL(`**/desk/bell/${alarm.id}`);
    await page.getByRole("button", { name: "I take it", exact: true }).first().click();
    await page.getByRole("link", { name: "The bell" }).filter({ hasNotText: "alarm" }).waitFor();
    await page.getByRole("link", { name: "Unanswered" }).first().click();
    assert.equal(await page.getByRole("status").filter({ hasText: alarm.title }).count(), 0);
    assert.deepEqual(await soundsOf(agent), [], "it is the administrators'");
    await desk.ask("PATCH", `conversations/${id}`, { status: "resolved" });
  });
});
