// What the widget does when the line or the desk misbehaves. Only the mock misbehaves on command.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { chatOf, openBrowser, openPage, startDesk, startShop } from "./harness.mjs";

describe("when things go wrong", { timeout: 900_000 }, () => {
  let browser;
  let shop;
  let desk;
  let context;
  let visitor;
  let chat;

  before(async () => { [browser, shop] = await Promise.all([openBrowser(), startShop()]); });
  after(() => Promise.all([browser?.close(), shop?.stop()]));
  beforeEach(async () => {
    desk = await startDesk("mock", { allowedOrigins: [shop.origin] });
    context = await browser.newContext();
    visitor = await openPage(context, `${desk.origin}/try/website`);
    chat = chatOf(visitor);
    await chat.open();
  });
  afterEach(async () => {
    assert.deepEqual(visitor.wrong, []);
    await context.close();
    await desk.stop();
  });

  const stored = (text) => desk.messages.filter((message) => message.text === text).length;
  const shown = (text) => chat.turns.filter({ hasText: text });
  const sent = (text) => shown(text).filter({ hasText: "sent" }).waitFor();

  test("an answer that is lost makes no second message", async () => {
    desk.misbehave.loseAnswers = 2;
    await chat.say("Only once");
    await sent("Only once");
    assert.ok(desk.seen.posts >= 2, "it was tried again");
    assert.equal(stored("Only once"), 1);
    assert.equal(await shown("Only once").count(), 1);
  });

  test("a reload in the middle of sending makes no second message", async () => {
    desk.misbehave.delay = 400;
    await chat.say("Reloaded meanwhile");
    await visitor.waitForTimeout(100);
    await visitor.reload();
    await sent("Reloaded meanwhile");
    await visitor.waitForTimeout(500);
    assert.equal(stored("Reloaded meanwhile"), 1);
    assert.equal(await shown("Reloaded meanwhile").count(), 1);
  });

  test("a closed tab's message goes out from another", async () => {
    const second = await openPage(context, `${desk.origin}/try/website`);
    desk.misbehave.down = true;
    await chat.say("Left behind");
    await shown("Left behind").filter({ hasText: "waiting for connection" }).waitFor();
    await visitor.close();
    desk.misbehave.down = false;
    chat = chatOf(second);
    visitor = second;
    await chat.open();
    await sent("Left behind");
    assert.equal(stored("Left behind"), 1);
  });

  test("too fast: it says so, waits as long as it was asked to, and sends", async () => {
    desk.misbehave.tooMany = 1;
    desk.misbehave.retryAfter = 2;
    const begun = Date.now();
    await chat.say("Hasty");
    await shown("Hasty").filter({ hasText: "too fast, sending again soon" }).waitFor();
    await chat.say("Hastier");
    await visitor.evaluate(() => dispatchEvent(new Event("online")));
    await sent("Hastier");
    assert.ok(Date.now() - begun >= 2000, "Retry-After was honoured");
    assert.equal(desk.seen.posts, 3);
    assert.deepEqual(desk.messages.map((message) => message.text), ["Hasty", "Hastier"]);
  });

  test("what the desk refuses says so, holds up nothing, and can be tried again or deleted", async () => {
    desk.misbehave.refuse = 2;
    await chat.say("Refused one");
    await shown("Refused one").filter({ hasText: "not sent" }).waitFor();
    await chat.say("Refused two");
    await shown("Refused two").filter({ hasText: "not sent" }).waitFor();
    await chat.say("Fine");
    await sent("Fine");
    await visitor.reload();
    await shown("Refused one").getByRole("button", { name: "Try again" }).click();
    await visitor.waitForFunction(() => !Object.keys(localStorage).some((key) => localStorage[key].includes("Refused one")));
    assert.equal(stored("Refused one"), 1);
    await shown("Refused two").getByRole("button", { name: "Delete" }).click();
    await shown("Refused two").waitFor({ state: "detached" });
    assert.equal(stored("Refused two"), 0);
  });

  test("a session that the desk forgot is made anew and the message is not lost", async () => {
    await chat.say("First");
    await sent("First");
    desk.misbehave.forget = true;
    await chat.say("Second");
    await sent("Second");
    assert.equal(stored("Second"), 1);
    assert.equal(await chat.turns.count(), 1, "the forgotten conversation is shown no more");
  });

  test("a stream that breaks is resumed with nothing lost and nothing twice", async () => {
    await chat.say("Hello");
    await sent("Hello");
    await visitor.waitForFunction(() => navigator.locks.query().then(({ held }) => held.length > 0));
    desk.reply("One");
    await shown("One").waitFor();
    desk.cutStreams();
    desk.reply("Two");
    await shown("Two").waitFor();
    const edited = desk.reply("Thre");
    desk.update(edited, { text: "Three", edited_at: new Date().toISOString() });
    await shown("Three").filter({ hasText: "edited" }).waitFor();
    desk.update(edited, { text: null, deleted_at: new Date().toISOString() });
    await shown("This message was deleted").waitFor();
    desk.reset();
    await visitor.waitForTimeout(200);
    assert.deepEqual((await chat.turns.allTextContents()).map((text) => /Hello|One|Two|deleted/.exec(text)?.[0]), ["Hello", "One", "Two", "deleted"]);
  });

  test("many tabs hold one stream; when its tab goes, another takes it over", async () => {
    await chat.say("Hello");
    await sent("Hello");
    const others = await Promise.all([1, 2, 3].map(() => openPage(context, `${desk.origin}/try/website`)));
    for (const page of others) await chatOf(page).open();
    for (const page of others) await chatOf(page).turns.filter({ hasText: "Hello" }).waitFor();
    assert.equal(desk.streams.size, 1);
    desk.reply("Everywhere");
    for (const page of others) await chatOf(page).turns.filter({ hasText: "Everywhere" }).waitFor();
    await visitor.close();
    visitor = others[0];
    chat = chatOf(visitor);
    await visitor.waitForFunction(() => navigator.locks.query().then(({ held }) => held.some((lock) => lock.name.endsWith("stream"))));
    await visitor.waitForTimeout(300);
    assert.equal(desk.streams.size, 1);
    desk.reply("Still heard");
    await shown("Still heard").waitFor();
  });

  test("too large, too many and too long are said before anything is sent", async () => {
    const file = (name, size) => ({ name, mimeType: "text/plain", buffer: Buffer.alloc(size) });
    // From the disk: so many bytes would take the browser's remote control many seconds.
    const folder = await mkdtemp(join(tmpdir(), "deskbell-e2e-"));
    await writeFile(join(folder, "film.txt"), Buffer.alloc(20 * 1024 * 1024 + 1));
    await visitor.setInputFiles("deskbell-chat input[type=file]", join(folder, "film.txt"));
    await rm(folder, { recursive: true });
    await chat.notice.filter({ hasText: "film.txt is larger than 20 MB" }).waitFor();
    await visitor.setInputFiles("deskbell-chat input[type=file]", Array.from({ length: 11 }, (_, at) => file(`${at}.txt`, 1)));
    await chat.notice.filter({ hasText: "At most 10 files" }).waitFor();
    assert.equal(await visitor.locator("deskbell-chat .chips li").count(), 10);
    await chat.field.fill("😀".repeat(5001));
    await chat.notice.filter({ hasText: "1 character too long" }).waitFor();
    await chat.field.press("Enter");
    await visitor.waitForTimeout(200);
    assert.equal(desk.seen.posts, 0);
    await chat.say("😀".repeat(5000));
    await sent("😀");
    assert.equal(desk.messages[0].attachments.length, 10);
  });

  test("an upload that fails says so and can be tried again", async () => {
    await visitor.waitForFunction(() => localStorage.getItem("deskbell.website.session"));
    desk.misbehave.down = true;
    await visitor.setInputFiles("deskbell-chat input[type=file]", { name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("a") });
    await chat.notice.filter({ hasText: "a.txt was not uploaded" }).waitFor();
    desk.misbehave.down = false;
    await visitor.locator("deskbell-chat .chips").getByRole("button", { name: "Try again" }).click();
    await visitor.locator("deskbell-chat .send:not(:disabled)").waitFor();
    await chat.say("");
    await shown("a.txt").waitFor();
    // It is shown before the desk has it.
    for (let waited = 0; waited < 5000 && desk.messages.length === 0; waited += 50) await visitor.waitForTimeout(50);
    assert.equal(desk.messages[0].attachments.length, 1);
  });

  test("files can be pasted and dropped", async () => {
    for (const type of ["paste", "drop"]) {
      await visitor.evaluate((kind) => {
        const data = new DataTransfer();
        data.items.add(new File(["x"], `${kind}.txt`, { type: "text/plain" }));
        const root = document.querySelector("deskbell-chat").shadowRoot;
        if (kind === "paste") root.querySelector("textarea").dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        else root.querySelector(".panel").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
      }, type);
      await visitor.locator("deskbell-chat .chips li", { hasText: `${type}.txt` }).waitFor();
    }
  });

  test("the draft and the open chat stay when the visitor goes to another page of the shop", async () => {
    await chat.field.fill("Half a sent");
    await visitor.goto(`${desk.origin}/try/website?page=2`);
    assert.equal(await chat.field.inputValue(), "Half a sent");
    assert.equal(await visitor.evaluate(() => document.activeElement.localName), "body", "the focus is not taken");
  });

  test("that somebody types is told now and then, not at every key", async () => {
    await chat.say("Hello");
    await sent("Hello");
    await chat.field.pressSequentially("a long sentence", { delay: 20 });
    await visitor.waitForTimeout(200);
    assert.equal(desk.seen.typing, 1);
  });

  for (const [language, title, words] of [["pl", "Napisz do nas", "Napisz wiadomość"], ["sk", "Napíšte nám", "Napíšte správu"], ["cs", "Napište nám", "Napište zprávu"], ["ru", "Напишите нам", "Напишите сообщение"], ["de", "Schreiben Sie uns", "Nachricht schreiben"]]) {
    test(`speaks the page's language (${language})`, async () => {
      shop.embed(desk);
      shop.html = shop.html.replace("lang=\"en\"", `lang="${language}"`);
      await visitor.goto(shop.origin);
      await visitor.getByRole("button", { name: title }).click();
      assert.equal(await chat.field.getAttribute("placeholder"), words);
      assert.equal(await visitor.locator("deskbell-chat").getAttribute("lang"), language);
    });
  }
});
