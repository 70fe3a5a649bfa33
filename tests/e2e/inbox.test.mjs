// The inbox: what moves and what stays still, what the keys do, and how it bears many conversations and evil names.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { AxeBuilder } from "@axe-core/playwright";

import { deskPage, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, openBrowser, startDesk } from "./harness.mjs";
import { deliver, visitor, written } from "./seed.mjs";

const WHEN = Date.parse("2026-11-21T10:00:00.000Z");
const time = (seconds) => new Date(WHEN + seconds * 1000).toISOString();

/** A conversation as the daemon tells it. */
const conversation = (n, more = {}) => ({
  id: `cnv_${String(n).padStart(13, "0")}`, channel_id: "website", connector: "webchat",
  contact: { id: `cus_${String(n).padStart(13, "0")}`, name: `Customer ${n}`, avatar_url: null },
  status: "open", assignee_id: null, team_id: null, labels: n % 7 ? [] : ["invoice"], priority: null, subject: null, snoozed_until: null, unread_count: n % 3,
  message_count: 1, last_message: { id: `msg_${n}`, preview: `What of order ${n}?`, direction: n % 2 ? "inbound" : "outbound", at: time(-n) },
  waiting_since: n % 2 ? time(-n) : null, reply_window: { state: "open", closes_at: null }, created_at: time(-n), last_activity_at: time(-n), spam: false, blocked: false,
  ...more,
});

/** Lets the page read these conversations instead of the daemon's, so many a page. */
async function standIn(page, all, { pageSize = 2_000 } = {}) {
  await page.route(/\/api\/v1\/conversations\?/, (route) => {
    const at = Number(new URL(route.request().url()).searchParams.get("cursor") ?? 0);
    const end = at + pageSize;
    return route.fulfill({ status: 200, contentType: "application/json", body: JSON.stringify({ data: all.slice(at, end), next: end < all.length ? String(end) : null }) });
  });
}

/** Text that is code wherever it is not taken as text. */
function* poison() {
  const deeds = ["window.pwned=1", "fetch('/pwned')", "alert(1)"];
  const shapes = [
    (js) => `<script>${js}</script>`, (js) => `<img src=x onerror="${js}">`, (js) => `<svg onload="${js}">`, (js) => `<svg><script>${js}</script></svg>`,
    (js) => `<math><mtext><table><mglyph><style><img src=x onerror="${js}">`, (js) => `<iframe srcdoc="&lt;script&gt;parent.${js}&lt;/script&gt;"></iframe>`,
    (js) => `<a href="javascript:${js}">x</a>`, (js) => `<input autofocus onfocus="${js}">`, (js) => `<details open ontoggle="${js}">`, (js) => `<video><source onerror="${js}">`,
    (js) => `<body onload="${js}">`, (js) => `<style>@import 'javascript:${js}'</style>`, (js) => `<base href="javascript:${js}//">`, (js) => `<form action="javascript:${js}"><button>x`,
    (js) => `<object data="javascript:${js}">`, (js) => `<meta http-equiv="refresh" content="0;url=javascript:${js}">`, (js) => `<template><img src=x onerror="${js}"></template>`,
    (js) => `{{constructor.constructor("${js}")()}}`, (js) => `\${${js}}`, (js) => `{@html "<img src=x onerror='${js}'>"}`, (js) => `<noscript><p title="</noscript><img src=x onerror='${js}'>">`,
    (js) => `__proto__[onerror]=${js}`, (js) => `javascript:${js}`, (js) => `data:text/html,<script>${js}</script>`, (js) => `'-${js}-'`,
  ];
  const wraps = [(text) => text, (text) => `">${text}`, (text) => `'>${text}`, (text) => `</bdi>${text}`, (text) => `-->${text}`, (text) => `]]>${text}`, (text) => `\u202e${text}`, (text) => `<!--${text}-->`];
  for (const deed of deeds) for (const shape of shapes) for (const wrap of wraps) yield wrap(shape(deed));
}

describe("the inbox", { skip: WITHOUT_DAEMON, timeout: 900_000 }, () => {
  let browser;
  let desk;
  let ana;
  let context;
  let customers = 0;

  before(async () => {
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]);
    ana = await staff(desk);
  });
  after(() => Promise.all([browser?.close(), desk?.stop()]));
  beforeEach(async () => {
    context = await browser.newContext({ storageState: ana.state, viewport: { width: 1440, height: 900 } });
  });
  afterEach(async () => {
    for (const page of context.pages()) assert.deepEqual(page.wrong, []);
    await context.close();
    for (let open; (open = (await desk.get("conversations?status=open&limit=200")).data).length > 0;) {
      await Promise.all(open.map(({ id }) => desk.ask("PATCH", `conversations/${id}`, { status: "resolved" })));
    }
  });

  const open = (path) => deskPage(browser, desk, ana, { context, path });
  /** The names in the list, from the top. */
  const names = (page) => page.locator("[data-rows] [role=listitem]").evaluateAll((rows) => rows
    .map((row) => [Number(row.getAttribute("aria-posinset")), row.querySelector("bdi").textContent]).sort(([one], [other]) => one - other).map(([, name]) => name));
  const shows = async (page, wanted) => {
    let last = [];
    try {
      await eventually(async () => JSON.stringify(last = await names(page)) === JSON.stringify(wanted), "the list");
    } catch {
      assert.deepEqual(last, wanted);
    }
  };
  const rest = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
  /** A customer with a name, who has written. */
  const customer = async (name, text = `Good morning from ${name}`) => {
    customers += 1;
    const made = await visitor(desk, { name, id: `inbox-${customers}` });
    await made.say(text);
    return made;
  };
  const row = (page, name) => page.locator("[data-row]", { has: page.getByText(name, { exact: true }) });
  const aside = (page) => page.mouse.move(1_000, 500);

  test("who waits longest stands first, and who has an answer leaves", async () => {
    await customer("Ana One");
    const two = await customer("Ana Two");
    const page = await open("/desk/inbox/unanswered");
    await shows(page, ["Ana One", "Ana Two"]);
    await customer("Ana Three");
    await shows(page, ["Ana One", "Ana Two", "Ana Three"]);
    // What they write more does not put them behind.
    await two.say("One more word");
    await rest(500);
    await shows(page, ["Ana One", "Ana Two", "Ana Three"]);
    const { data } = await desk.get("conversations?q=Ana%20Two");
    await desk.ask("POST", `conversations/${data[0].id}/messages`, { text: "Here you are" });
    await shows(page, ["Ana One", "Ana Three"]);
  });

  test("nothing moves under the pointer: what is new waits", async () => {
    const one = await customer("Bea One");
    await customer("Bea Two");
    const page = await open("/desk/inbox/open");
    await aside(page);
    await shows(page, ["Bea Two", "Bea One"]);
    await row(page, "Bea One").hover();
    await customer("Bea Three");
    await one.say("Still here");
    await page.getByRole("button", { name: "2 new" }).waitFor();
    assert.deepEqual(await names(page), ["Bea Two", "Bea One"]);
    // Its words change where it stands.
    await row(page, "Bea One").getByText("Still here").waitFor();
    await aside(page);
    await shows(page, ["Bea One", "Bea Three", "Bea Two"]);
    // And a click on what waits shows it, with the pointer in the list.
    await row(page, "Bea Two").hover();
    await customer("Bea Four");
    await page.getByRole("button", { name: "1 new" }).click();
    await shows(page, ["Bea Four", "Bea One", "Bea Three", "Bea Two"]);
  });

  test("the open one stays although it no longer fits, until one leaves it", async () => {
    await customer("Cyr One");
    await customer("Cyr Two");
    await customer("Cyr Three");
    const page = await open("/desk/inbox/open");
    await shows(page, ["Cyr Three", "Cyr Two", "Cyr One"]);
    await row(page, "Cyr Two").click();
    await aside(page);
    await eventually(() => /cnv_/.test(page.url()), "the conversation’s address");
    await desk.ask("PATCH", `conversations/${/cnv_\w+/.exec(page.url())[0]}`, { status: "resolved" });
    await row(page, "Cyr Two").getByText("resolved").waitFor();
    await shows(page, ["Cyr Three", "Cyr Two", "Cyr One"]);
    await row(page, "Cyr One").click();
    await aside(page);
    await shows(page, ["Cyr Three", "Cyr One"]);
  });

  test("all by keys: move, select, resolve, undo, open, back, go to a view", async () => {
    for (const name of ["Dan One", "Dan Two", "Dan Three", "Dan Four"]) await customer(name);
    const page = await open("/desk/inbox/unanswered");
    await shows(page, ["Dan One", "Dan Two", "Dan Three", "Dan Four"]);
    const focused = () => page.evaluate(() => document.activeElement.querySelector("bdi")?.textContent);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await eventually(async () => (await focused()) === "Dan Two", "the focus on the second row");
    await page.keyboard.press("x");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Shift+X");
    await page.getByRole("toolbar", { name: "2 selected" }).waitFor();
    await page.keyboard.press("e");
    await shows(page, ["Dan One", "Dan Four"]);
    await eventually(async () => (await focused()) === "Dan Four", "the focus on the row in their place");
    await page.getByRole("button", { name: "Undo" }).click();
    await aside(page);
    await shows(page, ["Dan One", "Dan Two", "Dan Three", "Dan Four"]);
    await page.keyboard.press("k");
    await page.keyboard.press("Enter");
    await eventually(() => /unanswered\/cnv_/.test(page.url()), "a conversation’s address");
    await page.keyboard.press("u");
    await eventually(() => page.url().endsWith("/desk/inbox/unanswered"), "the list’s address");
    await page.keyboard.press("g");
    await page.keyboard.press("a");
    await page.getByRole("heading", { name: "All open" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.getByRole("feed", { name: "Stream" }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });

  test("a letter in a field is a letter", async () => {
    await customer("Eva One");
    const page = await open("/desk/inbox/unanswered");
    await shows(page, ["Eva One"]);
    await page.keyboard.press("j");
    await page.keyboard.press("/");
    await page.keyboard.type("eva xjgue");
    assert.equal(await page.getByRole("searchbox").inputValue(), "eva xjgue");
    await page.keyboard.press("Escape");
    await shows(page, ["Eva One"]);
    const { data } = await desk.get("conversations?q=Eva%20One");
    assert.equal(data[0].status, "open");
  });

  test("the search finds people and words, and Enter opens the first", async () => {
    await customer("Filip Nováček", "Where is the parcel with the turquoise kettle?");
    const page = await open("/desk/inbox/mine");
    await page.keyboard.press("/");
    await page.keyboard.type("turquoise");
    await page.locator("[data-result]", { hasText: "Filip Nováček" }).first().waitFor();
    await page.keyboard.press("Enter");
    await eventually(() => /mine\/cnv_/.test(page.url()), "the conversation’s address");
  });

  test("what cannot be found yet comes by itself", async () => {
    await customer("Filip Second", "Where is the parcel with the crimson teapot?");
    const page = await open("/desk/inbox/mine");
    let asked = 0;
    await page.route("**/api/v1/search?*", (route) => {
      asked += 1;
      return asked > 1 ? route.continue() : route.fulfill({ json: { data: [], next: null, complete: false } });
    });
    await page.keyboard.press("/");
    await page.keyboard.type("crimson");
    await page.getByText("What is not searchable yet appears here by itself.").waitFor();
    await page.locator("[data-result]", { hasText: "Filip Second" }).first().waitFor();
    await page.getByText("What is not searchable yet").waitFor({ state: "detached" });
    const settled = asked;
    await rest(3_000);
    assert.equal(asked, settled, "what is whole is not asked for again");
  });

  test("the stream of messages shows what is written in every channel, and opens it beside", async () => {
    await customer("Gita One", "First words");
    await deliver(desk, written(700_001, "Words from another channel"));
    const page = await open("/desk/stream");
    const feed = page.getByRole("feed", { name: "Stream" });
    await feed.getByText("Words from another channel").waitFor();
    await aside(page);
    await customer("Gita Two", "The newest words");
    await feed.getByRole("article").first().getByText("The newest words").waitFor();
    await feed.getByText("First words").click();
    await eventually(() => /stream\/cnv_/.test(page.url()), "the conversation’s address");
    await feed.getByText("The newest words").waitFor();
  });

  test("the tab says how many wait", async () => {
    const page = await open("/desk/inbox/unanswered");
    const counts = await desk.ask("GET", "views/counts");
    if (counts.status === 404) return;
    await customer("Hana One");
    await eventually(async () => (await page.title()) === "(1) Deskbell", "the number in the title");
    assert.match(await page.locator("link[rel=icon]").getAttribute("href"), /^data:image\/svg\+xml/);
    await page.getByRole("link", { name: "Unanswered" }).getByText("1", { exact: true }).waitFor();
  });

  test("r02 names, subjects and previews are text and nothing else", async (t) => {
    const texts = [...poison()];
    t.diagnostic(`${texts.length} payloads`);
    const all = texts.map((text, n) => conversation(n, {
      contact: { id: `cus_${n}`, name: text, avatar_url: n % 5 ? null : text }, subject: text, labels: [text, text], assignee_id: n % 4 ? null : ana.id,
      last_message: { id: `msg_${n}`, preview: n % 3 ? text : `[image] ${text}`, direction: n % 2 ? "inbound" : "outbound", at: time(-n) },
    }));
    const shown = await deskPage(browser, desk, ana, { context, path: "/desk/settings" });
    await standIn(shown, all, { pageSize: 200 });
    let fetched = false;
    shown.on("request", (request) => { fetched ||= new URL(request.url()).pathname === "/pwned"; });
    await shown.evaluate(() => { history.pushState(null, "", "/desk/inbox/open"); dispatchEvent(new PopStateEvent("popstate")); });
    const rows = shown.locator("[data-rows]");
    await rows.locator("[role=listitem]").first().waitFor();
    const seen = new Set();
    for (let n = 0; n < texts.length; n += 10) {
      await rows.evaluate((list, top) => { list.scrollTop = top; }, n * 60);
      await rest(40);
      for (const name of await names(shown)) seen.add(name);
    }
    assert.ok(seen.size > texts.length * 0.95, `${seen.size} of ${texts.length} were shown as they are`);
    assert.equal(await shown.evaluate(() => window.pwned), undefined);
    assert.equal(fetched, false);
    const made = await rows.evaluate((list) => list.querySelectorAll("script,iframe,object,embed,base,meta,style,form,video,math,svg[onload],a[href^='javascript'],[onerror],[onload],[onfocus],[ontoggle]").length);
    assert.equal(made, 0);
  });

  test("50,000 conversations scroll as 500 do", async (t) => {
    /** How long the frames take while the list is scrolled through, in milliseconds. */
    const scrolled = async (count) => {
      const page = await deskPage(browser, desk, ana, { context, path: "/desk/settings" });
      await standIn(page, Array.from({ length: count }, (_, n) => conversation(n)));
      await page.evaluate(() => { history.pushState(null, "", "/desk/inbox/open"); dispatchEvent(new PopStateEvent("popstate")); });
      const rows = page.locator("[data-rows]");
      await rows.locator("[role=listitem]").first().waitFor();
      // Everything is read, as by somebody who has scrolled to the end.
      await eventually(() => rows.evaluate((list, height) => {
        list.scrollTop = list.scrollHeight;
        return list.scrollHeight >= height;
      }, count * 60), `${count} rows`, 120);
      const frames = await rows.evaluate(async (list) => {
        list.scrollTop = 0;
        await new Promise((done) => { setTimeout(done, 300); });
        const times = [];
        let last = performance.now();
        const step = Math.max(1, Math.min(400, (list.scrollHeight - list.clientHeight) / 240));
        for (let frame = 0; frame < 240; frame += 1) {
          list.scrollTop += step;
          await new Promise(requestAnimationFrame);
          const now = performance.now();
          times.push(now - last);
          last = now;
        }
        return times;
      });
      const shown = await rows.locator("[role=listitem]").count();
      await page.close();
      const sorted = frames.sort((one, other) => one - other);
      return { median: sorted[120], p95: sorted[228], dropped: frames.filter((frame) => frame > 25).length, shown };
    };
    const few = await scrolled(500);
    const many = await scrolled(50_000);
    for (const [name, one] of [["500", few], ["50,000", many]]) {
      t.diagnostic(`${name}: median frame ${one.median.toFixed(1)} ms, 95 % within ${one.p95.toFixed(1)} ms, ${one.dropped} of 240 dropped, ${one.shown} rows in the page`);
    }
    assert.ok(many.shown < 60, `${many.shown} rows are in the page`);
    assert.ok(many.median <= few.median * 1.5 + 4, "the median");
    assert.ok(many.p95 <= few.p95 * 2 + 17, "the slow frames");
  });

  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of [[1440, 900], [1024, 768], [390, 844]]) {
      test(`axe finds nothing, ${colorScheme}, ${width} pixels wide`, async () => {
        await customer("Ivo One");
        await customer("Ivo Two");
        const { data } = await desk.get("conversations?status=open");
        await desk.ask("PATCH", `conversations/${data[0].id}`, { labels: ["invoice", "vip"], priority: "urgent", assignee_id: ana.id });
        const narrow = await browser.newContext({ storageState: ana.state, viewport: { width, height }, colorScheme, hasTouch: width < 720 });
        try {
          for (const path of ["/desk/inbox/open", "/desk/stream", "/desk/inbox/snoozed"]) {
            const page = await deskPage(browser, desk, ana, { context: narrow, path });
            await (path.endsWith("snoozed") ? page.getByText("Nothing sleeps") : page.locator("[data-message], [data-row]").first()).waitFor();
            await rest(400);
            const { violations } = await new AxeBuilder({ page }).include("nav").include("section").analyze();
            assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], path);
            assert.deepEqual(page.wrong, []);
            await page.close();
          }
        } finally {
          await narrow.close();
        }
      });
    }
  }
});
