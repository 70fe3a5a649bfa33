// Everything that a customer can set, as poison, on every screen: nothing runs, nothing is fetched from elsewhere, no
// policy is violated. And every answer of the daemon carries the headers that hold where a mistake slips through.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { deskOf, deskPage, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, openBrowser, openPage, startDesk } from "./harness.mjs";
import { deliver, visitor, written } from "./seed.mjs";

/** Text that runs something, or calls somewhere, where it is taken for anything but text. */
const RUN = "window.ran=(window.ran||0)+1";
const KINDS = [
  `<img src=x onerror=${RUN}>`, `<script>${RUN}</script>`, `"><svg onload=${RUN}>`, `'><svg/onload=${RUN}>`, `javascript:${RUN}`, `JaVaScRiPt:${RUN}`,
  `<a href="javascript:${RUN}">x</a>`, `{{constructor.constructor('${RUN}')()}}`, `\${${RUN}}`, `#{${RUN}}`, `<%= ${RUN} %>`, `{@html ${RUN}}`,
  `<iframe srcdoc='<script>parent.ran=1</script>'>`, `<iframe src="javascript:parent.ran=1">`, `<details open ontoggle=${RUN}>`,
  `</textarea></div><body onload=${RUN}>`, `</title><script>${RUN}</script>`, `</style><script>${RUN}</script>`, `<style>*{display:none}</style>`,
  `<style>@import url(https://evil.example/x.css);</style>`, `<link rel=stylesheet href=https://evil.example/x.css>`, `<img src=https://evil.example/pixel.gif>`,
  `<video><source onerror=${RUN}>`, `<audio src=x onerror=${RUN}>`, `<object data="javascript:${RUN}">`, `<embed src="javascript:${RUN}">`,
  `<form action="javascript:${RUN}"><button>x`, `<input autofocus onfocus=${RUN}>`, `<select autofocus onfocus=${RUN}>`, `<marquee onstart=${RUN}>`,
  `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=${RUN}&gt;">`, `<svg><script>${RUN}</script></svg>`,
  `<svg><animate onbegin=${RUN} attributeName=x dur=1s>`, `<base href="https://evil.example/">`, `<meta http-equiv=refresh content="0;url=https://evil.example/">`,
  `https://evil.example/"onmouseover="${RUN}`, `http://evil.example/'onclick='${RUN}`, `data:text/html,<script>${RUN}</script>`, `vbscript:${RUN}`,
  `[x](javascript:${RUN})`, `![x](https://evil.example/pixel.gif)`, `<!--<img src="--><img src=x onerror=${RUN}>`, `<![CDATA[<script>${RUN}</script>]]>`,
  `&lt;img src=x onerror=${RUN}&gt;`, `%3Cimg%20src=x%20onerror=${RUN}%3E`, `\\u003cimg src=x onerror=${RUN}\\u003e`, `<img src=x:x onerror\n=${RUN}>`,
  `<ImG sRc=x OnErRoR=${RUN}>`, `<img/src=x/onerror=${RUN}>`, `<x onclick=${RUN}>`, `<slot onslotchange=${RUN}>`, `<template shadowrootmode=open><img src=x onerror=${RUN}>`,
  `\u202e<img src=x onerror=${RUN}>`, `\u0000<script>${RUN}</script>`, `\ufeff<script>${RUN}</script>`, `＜script＞${RUN}＜/script＞`,
  `__proto__`, `constructor`, `toString`, `{"__proto__":{"ran":1}}`, `{count, plural, other {${RUN}}}`, `{name}`, `'{`, `%s%n%x`, `\u001b]8;;https://evil.example\u0007x`,
];
/** What else is put around them, to get out of wherever they stand; `DESKBELL_POISON=600` tries so many of them. */
const AROUND = [
  (one) => one, (one) => `"${one}`, (one) => `'>${one}`, (one) => `-->${one}<!--`, (one) => `</script>${one}`, (one) => one.toUpperCase().replaceAll(RUN.toUpperCase(), RUN),
  (one) => one.replaceAll("<", "&lt;").replaceAll(">", "&gt;"), (one) => `\`${one}\``, (one) => `]]>${one}`, (one) => one.replaceAll(" ", "\t"), (one) => `*/${one}/*`,
];
const ALL = AROUND.flatMap((around) => KINDS.map(around));
const PAYLOADS = ALL.slice(0, Number(process.env.DESKBELL_POISON) || KINDS.length);

describe("poison", { skip: WITHOUT_DAEMON, timeout: 1_200_000 + PAYLOADS.length * 30_000 }, () => {
  let browser;
  let desk;
  let ana;
  const conversations = [];

  before(async () => {
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]);
    ana = await staff(desk);
    for (const [n, poison] of PAYLOADS.entries()) {
      const customer = await visitor(desk, { name: poison.replaceAll("\u0000", ""), id: `poisoned-${n}`, email: `${n}@evil.example` });
      const file = await customer.attach(`${n} ${poison.replaceAll(/[\u0000/\\\r\n]/g, "∕").slice(0, 100)}.txt`, "text/plain", poison).catch(() => null);
      await customer.say(`${n} ${poison.replaceAll("\u0000", "")}`, file ? { attachment_ids: [file.id] } : {});
      conversations.push(customer.conversation.id);
    }
    const page = { id: "7666" };
    let mid = 0;
    for (const poison of PAYLOADS.map((one) => one.replaceAll("\u0000", ""))) {
      mid += 1;
      const first = `m_poison_${mid}`;
      await deliver(desk, [
        written(page.id, poison, { mid: first }),
        written(page.id, undefined, { attachments: [{ type: "location", title: poison, url: `javascript:${RUN}`, payload: { coordinates: { lat: 48.1, long: 17.1 } } }] }),
        written(page.id, undefined, { attachments: [{ type: "fallback", title: poison, url: poison, payload: null }] }),
        written(page.id, undefined, { attachments: [{ type: "template", title: poison, payload: { template_type: "generic", elements: [{ title: poison, subtitle: poison, item_url: poison }] } }] }),
        written(page.id, poison, { quick_reply: { payload: poison } }),
        { sender: { id: page.id }, recipient: { id: "1029384756" }, timestamp: Date.now(), reaction: { reaction: poison, emoji: poison.slice(0, 20), action: "react", mid: first } },
        { sender: { id: page.id }, recipient: { id: "1029384756" }, timestamp: Date.now(), postback: { title: poison, payload: poison, mid: `m_postback_${mid}`, referral: { ref: poison, source: poison, type: poison } } },
      ]);
    }
    const feed = await desk.feed();
    conversations.push(feed.find((message) => message.channel_id === "shop-page").conversation_id);
    // What the staff set themselves is shown to others.
    for (const [n, poison] of PAYLOADS.entries()) {
      const subject = poison.replaceAll(/[\u0000-\u001f]/g, " ").slice(0, 100);
      const changed = await desk.ask("PATCH", `conversations/${conversations[n]}`, { subject, labels: [subject.slice(0, 40).trim()] });
      assert.equal(changed.status, 200, JSON.stringify(changed.body));
      const noted = await desk.ask("POST", `conversations/${conversations[n]}/messages`, { text: `note ${subject}`, private: true });
      assert.equal(noted.status, 201, JSON.stringify(noted.body));
    }
  });
  after(() => Promise.all([browser?.close(), desk?.stop()]));

  /** A page that keeps what it asked of other hosts. */
  const watched = async (options) => {
    const context = await browser.newContext({ storageState: ana.state, ...options });
    const page = await openPage(context);
    page.elsewhere = [];
    page.on("request", (request) => { if (!request.url().startsWith(`${desk.origin}/`) && !/^(data|blob):/.test(request.url())) page.elsewhere.push(request.url()); });
    page.on("framenavigated", (frame) => { if (frame === page.mainFrame() && !frame.url().startsWith(desk.origin) && frame.url() !== "about:blank") page.elsewhere.push(frame.url()); });
    return page;
  };
  const clean = async (page, where) => {
    assert.equal(await page.evaluate(() => window.ran), undefined, `${where}: something ran`);
    assert.deepEqual(page.elsewhere, [], `${where}: something was asked of another host`);
    assert.deepEqual(page.wrong, [], where);
    const alien = await page.evaluate(() => [...document.querySelectorAll("script:not([src^='/ui/']), object, embed, base, meta[http-equiv], [onclick], [onerror], [onload], [onfocus], marquee")].map((one) => one.outerHTML.slice(0, 120)));
    assert.deepEqual(alien, [], where);
    const links = await page.evaluate(() => [...document.querySelectorAll("a[href], area[href], [src], form[action]")].map((one) => one.href ?? one.src ?? one.action).filter((address) => /^\s*(javascript|vbscript|data:text)/i.test(String(address))));
    assert.deepEqual(links, [], where);
    assert.equal(await page.evaluate(() => ({}).ran), undefined, "no prototype was changed");
  };

  test("the test itself notices a script that runs, a call elsewhere and a violation", async () => {
    const page = await watched();
    await page.goto(`${desk.origin}/`);
    await page.locator("html[data-hearing]").waitFor();
    await page.evaluate(() => { const image = new Image(); image.src = "http://evil.example/planted.gif"; });
    await page.waitForTimeout(500);
    assert.ok(page.wrong.some((one) => one.startsWith("policy:")), "the policy stops it and says so");
    await page.evaluate(() => { window.ran = 1; });
    await assert.rejects(clean(page, "planted"));
    await page.context().close();
  });

  test("r02 r12 lists and streams", async () => {
    const page = await watched();
    for (const path of ["/", "/desk/inbox/open", "/desk/inbox/unassigned", "/desk/stream", "/desk/settings/labels", "/desk/settings/channels", "/desk/settings/people"]) {
      await page.goto(`${desk.origin}${path}`);
      await page.locator("html[data-hearing]").waitFor();
      await page.waitForTimeout(600);
      for (let turn = 0; turn < 6; turn += 1) {
        await page.mouse.move(400, 400);
        await page.mouse.wheel(0, 900);
        await page.waitForTimeout(120);
      }
      await clean(page, path);
    }
    await page.context().close();
  });

  test("r02 every poisoned conversation, opened", async () => {
    const page = await watched({ viewport: { width: 1440, height: 900 } });
    await page.goto(`${desk.origin}/desk/inbox/open`);
    await page.locator("html[data-hearing]").waitFor();
    for (const [n, id] of conversations.entries()) {
      await page.evaluate((path) => { history.pushState(null, "", path); dispatchEvent(new PopStateEvent("popstate")); }, `/desk/inbox/open/${id}`);
      await page.locator(`[data-message]`).first().waitFor();
      if (n < PAYLOADS.length) {
        const words = PAYLOADS[n].replaceAll("\u0000", "");
        const said = await page.locator("[data-message]").first().evaluate((element) => element.closest("[role=region]").textContent);
        assert.ok(said.replaceAll(/\s/g, "").includes(words.replaceAll(/[\s\u202e\ufeff\u001b\u0007]/g, "").slice(0, 30)) || /[\u202e\ufeff\u001b\u0000]/.test(PAYLOADS[n]), `it is shown as it was written: ${words}\n${said}`);
      }
      // Hovering shows titles and buttons.
      await page.locator("[data-message]").first().hover();
      await clean(page, `${n}: ${PAYLOADS[n] ?? "Messenger"}`);
    }
    await page.context().close();
  });

  test("r02 in the title, in names that are read aloud, in search", async () => {
    const page = await watched();
    await page.goto(`${desk.origin}/`);
    await page.locator("html[data-hearing]").waitFor();
    const customer = await visitor(desk, { name: `<img src=x onerror=${RUN}>`, id: "poisoned-late" });
    await customer.say(`<script>${RUN}</script>`);
    await page.waitForTimeout(1_000);
    await page.keyboard.press("/");
    await page.keyboard.type("<img src=x onerror");
    await page.waitForTimeout(1_500);
    await clean(page, "search");
    await page.context().close();
  });

  test("r07 links of customers name their real host, open elsewhere and give nothing away", async () => {
    const customer = await visitor(desk, { name: "Links" });
    await customer.say("see https://shop.example/a and https://аррӏе.example/ and javascript:alert(1) and http://user:pass@bank.example/");
    const page = await watched();
    await page.goto(`${desk.origin}/desk/inbox/open/${customer.conversation.id}`);
    await deskOf(page).thread.getByText("see").waitFor();
    const links = await page.locator("[data-message] a[href^='http']").evaluateAll((all) => all.filter((one) => !one.href.startsWith(location.origin)).map((one) => ({ href: one.href, rel: one.rel, target: one.target, text: `${one.textContent} ${one.title} ${one.nextSibling?.textContent ?? ""} ${one.parentElement.textContent}` })));
    assert.ok(links.length >= 2, JSON.stringify(links));
    for (const { href, rel, target, text } of links) {
      assert.match(rel, /noopener/);
      assert.match(rel, /noreferrer/);
      assert.equal(target, "_blank");
      if (href.includes("xn--")) assert.ok(text.includes("xn--80ak6aa92e.example"), `the real host is named: ${text}`);
    }
    await clean(page, "links");
    await page.context().close();
  });

  test("r13 s13 every page and file carries the headers", async () => {
    const page = await watched();
    const files = new Set();
    page.on("response", (response) => { if (response.url().startsWith(desk.origin)) files.add(new URL(response.url()).pathname); });
    for (const path of ["/", "/desk/settings/you", "/desk/settings/channels", "/desk/settings/people", "/desk/stream"]) {
      await page.goto(`${desk.origin}${path}`);
      await page.waitForTimeout(500);
    }
    await page.context().close();
    const more = ["/", "/signin", "/join", "/welcome", "/desk/inbox/open", "/desk/nowhere", "/docs", "/openapi.json", "/try/website", "/try/nothing", "/chat/website.js", "/healthz", "/readyz", "/setup?token=wrong", "/api/v1/me", "/api/v1/nothing", "/nothing", "/icon.svg", "/sw.js", "/manifest.webmanifest", "/ui/nothing.js", "/webhooks/nothing", "/auth/oidc/start"];
    for (const path of [...more, ...files]) {
      const answer = await fetch(`${desk.origin}${path}`, { redirect: "manual", headers: { Authorization: `Bearer ${desk.token}` } });
      await answer.body?.cancel();
      const header = (name) => answer.headers.get(name) ?? "";
      const said = `${path} ${answer.status}`;
      assert.equal(header("x-content-type-options"), "nosniff", said);
      const policy = header("content-security-policy");
      assert.match(policy, /frame-ancestors 'none'/, said);
      assert.match(policy, /default-src '(self|none)'/, said);
      assert.doesNotMatch(policy, /unsafe-eval|script-src[^;]*unsafe-inline/, said);
      assert.match(header("referrer-policy"), /no-referrer|same-origin/, said);
      assert.equal(header("x-frame-options"), "DENY", said);
      if (/html/.test(header("content-type"))) {
        assert.match(policy, /require-trusted-types-for 'script'|script-src 'none'|default-src 'none'/, said);
        assert.match(policy, /base-uri 'none'/, said);
        assert.equal(header("cross-origin-opener-policy"), "same-origin", said);
      }
      assert.ok(header("cross-origin-resource-policy"), said);
    }
    assert.ok(files.size > 8, [...files].join(" "));
  });
});
