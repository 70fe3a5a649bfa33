// A visitor writes, the desk has it, the answer shows: on the real daemon where DESKBELL_BIN names its binary, else on
// the mock. What staff see of it on their own page is in the files beside this one.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { AxeBuilder } from "@axe-core/playwright";

import { DESKS, IDENTITY_SECRET, chatOf, openBrowser, openPage, startDesk, startShop } from "./harness.mjs";

/** Text that runs something where it is taken for markup. */
const POISON = [
  "<img src=x onerror=window.ran=1>", "<script>window.ran=1</script>", "\"><svg onload=window.ran=1>", "javascript:window.ran=1",
  "<a href=\"javascript:window.ran=1\">x</a>", "{{constructor.constructor('window.ran=1')()}}", "${window.ran=1}", "<iframe srcdoc='<script>parent.ran=1</script>'>",
  "<details open ontoggle=window.ran=1>", "</textarea></div><body onload=window.ran=1>", "https://x.example/\"onmouseover=\"window.ran=1", "<style>*{display:none}</style>",
];

for (const kind of DESKS) {
  describe(`visitors (${kind})`, { timeout: 900_000 }, () => {
    let browser;
    let shop;
    let strangersShop;
    let desk;

    before(async () => {
      [browser, shop, strangersShop] = await Promise.all([openBrowser(), startShop(), startShop()]);
      desk = await startDesk(kind, { allowedOrigins: [shop.origin] });
    });
    after(async () => {
      await browser?.close();
      await Promise.all([desk, shop, strangersShop].map((one) => one?.stop()));
    });

    const signed = (id) => (desk.kind === "mock" ? "genuine" : createHmac("sha256", IDENTITY_SECRET).update(id).digest("hex"));
    const visitorPage = async (options) => openPage(await browser.newContext(options), `${desk.origin}/try/website`);
    const timesStored = (text) => desk.timesStored(text);
    const settled = async (pages) => {
      for (const page of pages) assert.deepEqual(page.wrong, []);
      await Promise.all(pages.map((page) => page.context().close()));
    };

    test("what a visitor writes is on the desk, once", async () => {
      const visitor = await visitorPage();
      const chat = chatOf(visitor);
      await chat.open();
      await chat.say("Is the fern in stock?");
      await chat.turns.filter({ hasText: "sent" }).waitFor();
      const message = await desk.message("Is the fern in stock?");
      assert.equal(message.direction, "inbound");
      assert.equal(message.channel_id, "website");
      assert.equal(await timesStored("Is the fern in stock?"), 1);
      await settled([visitor]);
    });

    test("an answer that was sent again under the same key shows once, as it was written", async () => {
      const visitor = await visitorPage();
      const chat = chatOf(visitor);
      await chat.open();
      await chat.say("Can I pay on delivery?");
      const { conversation_id: id } = await desk.message("Can I pay on delivery?");
      const text = "Yes, by card <b>or</b> cash.\nSee you soon!";
      const answers = [];
      for (let tries = 0; tries < 2; tries += 1) answers.push(await desk.ask("POST", `conversations/${id}/messages`, { text }, { "Idempotency-Key": "the-same" }));
      assert.deepEqual(answers.map((answer) => answer.status), [202, 202]);
      assert.equal(answers[0].body.id, answers[1].body.id);
      await chat.turns.filter({ hasText: "Yes, by card <b>or</b> cash." }).waitFor();
      await chat.say("Thanks");
      await chat.turns.filter({ hasText: "Thanks" }).filter({ hasText: "sent" }).waitFor();
      assert.equal(await chat.turns.filter({ hasText: "Yes, by card" }).count(), 1);
      assert.equal(await timesStored(text), 1);
      await settled([visitor]);
    });

    test("a page that shows the chat asks the desk for nothing until somebody opens it", async () => {
      const context = await browser.newContext();
      const page = await openPage(context);
      const asked = [];
      page.on("request", (request) => { if (/\/chat\/website\//.test(request.url())) asked.push(request.url()); });
      await page.goto(`${desk.origin}/try/website`);
      await chatOf(page).launcher.waitFor();
      await page.waitForTimeout(300);
      assert.deepEqual(asked, []);
      await Promise.all([page.waitForRequest(/\/session$/), chatOf(page).open()]);
      await settled([page]);
    });

    test("written offline, kept over a reload, sent exactly once when the line is back", async () => {
      const visitor = await visitorPage();
      const chat = chatOf(visitor);
      await chat.open();
      await chat.say("Before the tunnel");
      await chat.turns.filter({ hasText: "sent" }).waitFor();
      // The page itself must come from somewhere while the line is dead: only the chat's calls are cut.
      let dead = true;
      await visitor.context().route(/\/chat\/website\//, (route) => (dead ? route.abort("internetdisconnected") : route.continue()));
      await chat.say("In the tunnel, one");
      await chat.say("In the tunnel, two");
      await chat.turns.filter({ hasText: "waiting for connection" }).first().waitFor();
      await visitor.reload();
      assert.equal(await chat.turns.filter({ hasText: "In the tunnel" }).count(), 2);
      assert.equal(await timesStored("In the tunnel, one"), 0);
      dead = false;
      await visitor.evaluate(() => dispatchEvent(new Event("online")));
      await chat.turns.filter({ hasText: "sent" }).filter({ hasText: "two" }).waitFor();
      await desk.message("In the tunnel, two");
      await visitor.reload();
      await chat.turns.filter({ hasText: "Before the tunnel" }).waitFor();
      for (const text of ["In the tunnel, one", "In the tunnel, two"]) {
        assert.equal(await timesStored(text), 1, text);
        assert.equal(await chat.turns.filter({ hasText: text }).count(), 1, text);
      }
      const order = (await chat.turns.allTextContents()).map((text) => /one|two/.exec(text)?.[0]).filter(Boolean);
      assert.deepEqual(order, ["one", "two"]);
      await settled([visitor]);
    });

    test("two tabs show the same and send once", async () => {
      const first = await visitorPage();
      const second = await openPage(first.context(), `${desk.origin}/try/website`);
      const [here, there] = [chatOf(first), chatOf(second)];
      await here.open();
      await there.open();
      let dead = true;
      await first.context().route(/\/chat\/website\/messages/, (route) => (dead && route.request().method() === "POST" ? route.abort() : route.continue()));
      await here.say("From the first tab");
      await there.say("From the second tab");
      for (const chat of [here, there]) await chat.turns.nth(1).waitFor();
      dead = false;
      await Promise.all([first, second].map((page) => page.evaluate(() => dispatchEvent(new Event("online")))));
      for (const chat of [here, there]) {
        await chat.turns.filter({ hasText: "sent" }).first().waitFor();
        assert.equal(await chat.turns.count(), 2);
      }
      await desk.message("From the second tab");
      for (const text of ["From the first tab", "From the second tab"]) assert.equal(await timesStored(text), 1, text);
      await settled([first, second]);
    });

    test("a reply shows in the chat, and rings in the corner when the chat is closed", async () => {
      const visitor = await visitorPage();
      const chat = chatOf(visitor);
      await chat.open();
      await chat.say("Do you deliver to Brno?");
      const reply = async (text, more) => (await desk.answer("Do you deliver to Brno?", text, more)).status;
      // A note is the shop's own.
      assert.equal(await reply("He asked twice already", { private: true }), 201);
      assert.equal(await reply("We do, in two days."), 202);
      await chat.turns.filter({ hasText: "We do, in two days." }).waitFor();
      await desk.message("We do, in two days.");
      assert.equal(await visitor.getByText("He asked twice already").count(), 0);
      await visitor.keyboard.press("Escape");
      await reply("On Fridays too.");
      await visitor.locator("deskbell-chat .badge", { hasText: "1" }).waitFor();
      assert.match(await chat.launcher.getAttribute("aria-label"), /1 new message$/);
      assert.match(await visitor.title(), /^\(1\) /);
      await chat.open();
      await chat.turns.filter({ hasText: "On Fridays too." }).waitFor();
      assert.doesNotMatch(await visitor.title(), /^\(/);
      await settled([visitor]);
    });

    test("an attachment goes along and is named on both sides", async () => {
      const visitor = await visitorPage();
      const chat = chatOf(visitor);
      await chat.open();
      const picture = await visitor.screenshot({ clip: { x: 0, y: 0, width: 64, height: 48 } });
      await visitor.setInputFiles("deskbell-chat input[type=file]", [
        { name: "window sill.png", mimeType: "image/png", buffer: picture },
        { name: "faktúra.txt", mimeType: "text/plain", buffer: Buffer.from("invented") },
      ]);
      await visitor.locator("deskbell-chat .send:not(:disabled)").waitFor();
      await chat.say("Is this light enough?");
      await visitor.locator("deskbell-chat canvas").waitFor();
      await chat.turns.filter({ hasText: "faktúra.txt" }).waitFor();
      const { attachments } = await desk.message("Is this light enough?");
      assert.deepEqual(attachments.map(({ name, kind, mime_type: type }) => [name, kind, type.split(";")[0]]), [["window sill.png", "image", "image/png"], ["faktúra.txt", "file", "text/plain"]]);
      const download = visitor.waitForEvent("download");
      await visitor.locator("deskbell-chat button.file").click();
      assert.equal((await download).suggestedFilename(), "faktúra.txt");
      await settled([visitor]);
    });

    test("everything works by keyboard alone", async () => {
      const visitor = await visitorPage();
      const chat = chatOf(visitor);
      await chat.launcher.waitFor();
      const focused = () => visitor.evaluate(() => {
        const inside = document.activeElement?.shadowRoot?.activeElement;
        return inside ? inside.className || inside.localName : document.activeElement?.localName;
      });
      for (let steps = 0; steps < 20 && await focused() !== "launcher"; steps += 1) await visitor.keyboard.press("Tab");
      assert.equal(await focused(), "launcher");
      await visitor.keyboard.press("Enter");
      assert.equal(await focused(), "textarea");
      await visitor.keyboard.type("First line");
      await visitor.keyboard.press("Shift+Enter");
      await visitor.keyboard.type("second line");
      await visitor.keyboard.press("Enter");
      await chat.turns.filter({ hasText: "First line\nsecond line" }).waitFor();
      assert.equal(await chat.field.inputValue(), "");
      await visitor.keyboard.press("Escape");
      assert.equal(await focused(), "launcher");
      assert.equal(await chat.panel.isVisible(), false);
      await settled([visitor]);
    });

    test("on a small screen the focus stays in the chat that covers the page", async () => {
      // Measured where it stands, not on its way there.
      const visitor = await visitorPage({ viewport: { width: 390, height: 844 }, reducedMotion: "reduce" });
      const chat = chatOf(visitor);
      await chat.open();
      const box = await chat.panel.boundingBox();
      assert.deepEqual([box.x, box.y, box.width, box.height], [0, 0, 390, 844]);
      for (let steps = 0; steps < 12; steps += 1) {
        await visitor.keyboard.press(steps % 5 === 4 ? "Shift+Tab" : "Tab");
        assert.equal(await visitor.evaluate(() => document.activeElement?.localName), "deskbell-chat");
      }
      await settled([visitor]);
    });

    for (const colorScheme of ["light", "dark"]) {
      test(`axe finds nothing, ${colorScheme}`, async () => {
        const visitor = await visitorPage({ colorScheme, reducedMotion: "reduce" });
        const chat = chatOf(visitor);
        const violations = async (page) => (await new AxeBuilder({ page }).analyze()).violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.flat().join(" ")).join(", ")}`);
        await chat.launcher.waitFor();
        assert.deepEqual(await violations(visitor), []);
        await chat.open();
        assert.deepEqual(await violations(visitor), []);
        await chat.say(`A link https://shop.example/${colorScheme} and words`);
        await chat.turns.filter({ hasText: "sent" }).waitFor();
        await visitor.setInputFiles("deskbell-chat input[type=file]", { name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("a") });
        assert.deepEqual(await violations(visitor), []);
        await settled([visitor]);
      });
    }

    test("r02 poison in names, texts and file names runs nothing, anywhere", async () => {
      for (const [at, poison] of POISON.entries()) {
        const id = `customer-${at}`;
        const identity = JSON.stringify({ id, name: poison, signature: signed(id) }).replaceAll("&", "&amp;").replaceAll("'", "&#39;").replaceAll("<", "&lt;");
        shop.embed(desk, `data-identity='${identity}'`);
        const visitor = await openPage(await browser.newContext(), shop.origin);
        const chat = chatOf(visitor);
        await chat.open();
        await visitor.setInputFiles("deskbell-chat input[type=file]", { name: `${at} ${poison.replaceAll("/", "∕")}.txt`, mimeType: "text/plain", buffer: Buffer.from(poison) });
        await visitor.locator("deskbell-chat .send:not(:disabled)").waitFor();
        await chat.say(`${at} ${poison}`);
        await chat.turns.filter({ hasText: "sent" }).waitFor();
        assert.ok((await chat.turns.first().innerText()).includes(poison), "it is shown as it was written");
        assert.equal(await visitor.evaluate(() => window.ran), undefined, poison);
        const message = await desk.message(`${at} ${poison}`);
        assert.equal(message.author.name, poison);
        await settled([visitor]);
      }
    });

    test("v01 a claim without a signature leaves the visitor a stranger who can still write", async () => {
      shop.embed(desk, "data-identity='{\"id\":\"4711\",\"name\":\"Somebody Else\"}'");
      const visitor = await openPage(await browser.newContext(), shop.origin);
      const chat = chatOf(visitor);
      await chat.open();
      await chat.say("Who am I?");
      await chat.turns.filter({ hasText: "sent" }).waitFor();
      const { author } = await desk.message("Who am I?");
      assert.notEqual(author.name, "Somebody Else");
      await settled([visitor]);
    });

    test("v03 a shop that is not on the list cannot chat, one that is can", async () => {
      for (const [site, allowed] of [[shop, true], [strangersShop, false]]) {
        site.embed(desk);
        const visitor = await openPage(await browser.newContext(), site.origin);
        const chat = chatOf(visitor);
        await chat.open();
        await chat.say(`Allowed: ${allowed}`);
        await chat.turns.filter({ hasText: allowed ? "sent" : "waiting for connection" }).waitFor();
        assert.equal(await timesStored(`Allowed: ${allowed}`), allowed ? 1 : 0);
        await visitor.context().close();
      }
    });

    test("v04 the widget listens to no window's messages", async () => {
      const visitor = await visitorPage();
      await chatOf(visitor).open();
      const devtools = await visitor.context().newCDPSession(visitor);
      for (const expression of ["window", "document.querySelector('deskbell-chat')", "document"]) {
        const { result } = await devtools.send("Runtime.evaluate", { expression });
        const { listeners } = await devtools.send("DOMDebugger.getEventListeners", { objectId: result.objectId });
        const heard = listeners.map((listener) => listener.type);
        if (expression === "window") assert.ok(heard.includes("storage"), "listeners are seen at all");
        assert.deepEqual(heard.filter((type) => /message/.test(type)), [], expression);
      }
      await settled([visitor]);
    });

    test("v07 who logs in keeps the conversation, who logs out leaves none behind", async () => {
      shop.embed(desk);
      const visitor = await openPage(await browser.newContext(), shop.origin);
      const chat = chatOf(visitor);
      await chat.open();
      const seenAs = async (attributes) => {
        shop.embed(desk, attributes);
        await visitor.goto(shop.origin);
        await chat.field.waitFor(); // it was open on the page before
        await visitor.waitForTimeout(600);
        return (await chat.turns.allTextContents()).map((text) => /Stranger|Jana|Ewa/.exec(text)?.[0]);
      };
      const says = async (words) => {
        await chat.say(words);
        await chat.turns.filter({ hasText: words }).filter({ hasText: "sent" }).waitFor();
      };
      const customer = (id, name) => `data-identity='${JSON.stringify({ id, name, signature: signed(id) })}'`;
      assert.deepEqual(await seenAs(""), []);
      await says("Stranger");
      assert.deepEqual(await seenAs(customer("1", "Jana Nováková")), ["Stranger"]);
      await says("Jana");
      assert.deepEqual(await seenAs(customer("2", "Ewa Zielińska")), []);
      await says("Ewa");
      assert.deepEqual(await seenAs(""), []);
      assert.deepEqual(await seenAs(customer("2", "Ewa Zielińska")), ["Ewa"], "a customer who comes back finds it again");
      await settled([visitor]);
    });

    test("v07 a visitor sees only their own conversation", async () => {
      const [one, other] = await Promise.all([visitorPage(), visitorPage()]);
      await chatOf(one).open();
      await chatOf(one).say("My address is 7 Orchard Lane");
      await chatOf(one).turns.filter({ hasText: "sent" }).waitFor();
      await chatOf(other).open();
      await other.waitForTimeout(500);
      assert.equal(await chatOf(other).turns.count(), 0);
      await settled([one, other]);
    });

    test("older messages come by the page, none twice and none left out", async () => {
      const visitor = await visitorPage();
      const chat = chatOf(visitor);
      await chat.open();
      await visitor.waitForFunction(() => localStorage.getItem("deskbell.website.session"));
      const statuses = await visitor.evaluate(async () => {
        const { token } = JSON.parse(localStorage.getItem("deskbell.website.session"));
        const answers = [];
        for (let at = 0; at < 60; at += 1) {
          const ask = () => fetch("/chat/website/messages", {
            method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
            body: JSON.stringify({ text: `Number ${at}.`, client_id: `00000000-0000-4000-8000-${String(at).padStart(12, "0")}` }),
          });
          let answer = await ask();
          while (answer.status === 429) {
            await new Promise((resolve) => { setTimeout(resolve, 1000 * (Number(answer.headers.get("Retry-After")) || 1)); });
            answer = await ask();
          }
          answers.push(answer.status);
        }
        return answers;
      });
      assert.deepEqual([...new Set(statuses)], [201]);
      await visitor.reload();
      await chat.turns.filter({ hasText: "Number 59." }).waitFor();
      await visitor.getByRole("button", { name: "Earlier messages" }).click();
      await chat.turns.filter({ hasText: "Number 0." }).waitFor();
      const numbers = (await chat.turns.allTextContents()).map((text) => Number(/Number (\d+)\./.exec(text)[1]));
      assert.deepEqual(numbers, Array.from({ length: 60 }, (_, at) => at));
      await settled([visitor]);
    });
  });
}
