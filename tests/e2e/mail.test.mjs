// Mark-up that people outside of the shop can write, in a real browser: nothing of it runs, nothing is loaded from
// elsewhere, nothing leaves its box. What the API gives is put into a page without any policy, as a program that believes
// it would; the desk is shown it cleaned, and once more as if the daemon had forgotten to clean it.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, openBrowser, openPage, startDesk } from "./harness.mjs";
import { history } from "./seed.mjs";

/** The same that the cleaner's own tests try. */
const EVIL = JSON.parse(await readFile(new URL("../evil-markup.json", import.meta.url), "utf8"));
/** Where it stands, so that it gets out of what is around it. */
const AROUND = [
  (one) => one, (one) => `<p>Hello ${one} and bye</p>`, (one) => `<div><table><tr><td>${one}</td></tr></table></div>`, (one) => `<svg>${one}</svg>`,
  (one) => `<math><mtext>${one}</mtext></math>`, (one) => `<b><i><a href=https://shop.example>${one}</i></b>`, (one) => `<style>${one}</style>`, (one) => `<!-- ${one} -->`,
  (one) => `<select><template>${one}</template></select>`, (one) => `<p title='${one}'>x</p>`, (one) => `<noscript><title>${one}</title></noscript>`,
];
const MAILS = EVIL.map((evil) => AROUND.map((around) => around(evil)));
const HARMLESS = "<p>Good day, when does my order come?</p><p>Ewa</p>";
/** What tries to be somewhere else than in its box, and says the same as `HARMLESS` where it cannot. */
const MASKS = [
  `<div style="position:fixed;inset:0;z-index:2147483647;background:red">${HARMLESS}</div>`,
  `<div class="fixed inset-0 z-50 bg-accent text-panel">${HARMLESS}</div>`,
  `<style>body *{display:none!important}body::after{content:"Call 0900"}</style>${HARMLESS}`,
  `<style>*{background:red!important}</style><div id=app class=hidden hidden inert>${HARMLESS}</div>`,
  `</div></div></section></main></body></html><div style="position:absolute;top:0;left:0;transform:scale(50)">${HARMLESS}</div>`,
  `<p style="margin-top:-9999px;font-size:999px;color:transparent">Good day, when does my order come?</p><p width=99999 height=99999>Ewa</p>`,
  `<dialog open><form action=https://evil.example>${HARMLESS}</form></dialog>`,
  `<link rel=stylesheet href="data:text/css,*{display:none}">${HARMLESS}`,
  `<svg style="position:fixed;inset:0" width=9999 height=9999><rect width=9999 height=9999 /></svg>${HARMLESS}`,
  `<img src=https://evil.example/cover.png width=1 height=1 style="position:fixed;inset:0;width:100vw;height:100vh">${HARMLESS}`,
];

describe("mail", { skip: WITHOUT_DAEMON, timeout: 1_200_000 }, () => {
  let browser;
  let desk;
  let ana;
  /** The ids of conversations by the name of who writes in them. */
  const ids = new Map();

  before(async () => {
    // Where sound is allowed, no bar asks for it.
    [browser, desk] = await Promise.all([openBrowser({ args: ["--autoplay-policy=no-user-gesture-required"] }), startDesk("daemon")]);
    ana = await staff(desk);
    const at = Date.now() - 3_600_000;
    const mails = [
      ...MAILS.map((mail, n) => ({ name: `Evil ${n}`, at, texts: mail.map((html) => ({ text: "in plain words", html })) })),
      ...[HARMLESS, ...MASKS].map((html, n) => ({ name: `Mask ${n}`, at, texts: [{ text: "in plain words", html }] })),
    ];
    const file = join(desk.directory, "mails.jsonl");
    await writeFile(file, [...history(mails)].join(""));
    await desk.run("import", file, "--token", desk.token, "--server", desk.origin);
    for (let cursor = ""; ;) {
      const { data, next_cursor: next } = await desk.get(`conversations?limit=200${cursor}`);
      for (const one of data) ids.set(one.contact.name, one.id);
      if (!next) break;
      cursor = `&cursor=${encodeURIComponent(next)}`;
    }
    assert.equal(ids.size, mails.length);
  });
  after(() => Promise.all([browser?.close(), desk?.stop()]));

  /** The mark-up of a conversation's mails, as the API gives it. */
  const cleaned = async (n) => {
    const { data } = await desk.get(`conversations/${ids.get(`Evil ${n}`)}/messages?limit=200`);
    assert.equal(data.length, AROUND.length);
    return data.map((message) => message.html);
  };

  /** A page with no policy at all, that keeps what ran and what was asked of any host. */
  const unguarded = async () => {
    const context = await browser.newContext();
    const happened = { ran: 0, asked: [] };
    await context.exposeFunction("evil", () => { happened.ran += 1; });
    await context.route("**/*", (route) => {
      const url = route.request().url();
      if (url === "http://blank.example/") return route.fulfill({ contentType: "text/html", body: "<!doctype html><title>x</title><body></body>" });
      happened.asked.push(url);
      return route.abort();
    });
    const page = await context.newPage();
    page.on("dialog", (dialog) => dialog.dismiss());
    await page.goto("http://blank.example/");
    /** Reads it in four ways, and does to all that came of it what may wake something. */
    happened.read = (all) => page.evaluate(async (all_) => {
      for (const markup of all_) {
        for (const around of ["div", "td", "foreignObject"]) {
          const place = around === "foreignObject" ? document.createElementNS("http://www.w3.org/2000/svg", "svg") : document.createElement("table");
          place.innerHTML = around === "td" ? `<tr><td></td></tr>` : around === "foreignObject" ? "<foreignObject></foreignObject>" : "<caption></caption>";
          document.body.append(place);
          (place.querySelector("td, foreignObject, caption")).innerHTML = markup;
        }
        const frame = document.createElement("iframe");
        const loaded = new Promise((resolve) => { frame.onload = resolve; setTimeout(resolve, 500); });
        frame.srcdoc = markup;
        document.body.append(frame);
        await loaded;
      }
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      const pages = [document, ...[...document.querySelectorAll("iframe")].map((frame) => { try { return frame.contentDocument; } catch { return null; } })];
      for (const one of pages) {
        for (const element of one?.querySelectorAll("*") ?? []) {
          for (const kind of ["mouseover", "focus", "toggle", "error", "load", "beforetoggle", "close"]) element.dispatchEvent(new Event(kind));
        }
      }
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      document.body.replaceChildren();
    }, all);
    happened.close = () => context.close();
    return happened;
  };

  test("what is tried is evil: without cleaning it runs, and asks elsewhere", async (t) => {
    const counts = { ran: 0, asked: 0 };
    for (const evil of EVIL) {
      const page = await unguarded();
      // Some lead the whole page away.
      await page.read([evil]).catch(() => {});
      counts.ran += page.ran > 0;
      counts.asked += page.asked.length > 0;
      await page.close();
    }
    t.diagnostic(`of ${EVIL.length}, ${counts.ran} ran something and ${counts.asked} asked another host`);
    // The rest ran in older browsers, or is for what reads a text twice.
    assert.ok(counts.ran > EVIL.length / 5, `${counts.ran}`);
    assert.ok(counts.asked > EVIL.length / 3, `${counts.asked}`);
  });

  test("r01 r03 r05 what the API gives runs nothing and loads nothing, even in a page without a policy", async (t) => {
    const page = await unguarded();
    let count = 0;
    let left = 0;
    for (const n of MAILS.keys()) {
      const all = await cleaned(n);
      await page.read(all);
      assert.equal(page.ran, 0, `${EVIL[n]}\n${all.join("\n")}`);
      assert.deepEqual(page.asked, [], `${EVIL[n]}\n${all.join("\n")}`);
      count += all.length;
      left += all.filter(Boolean).length;
    }
    await page.close();
    t.diagnostic(`${count} mails, of ${left} something was left to read`);
    assert.ok(left > count / 3, `${left} of ${count}`);
  });

  /** Opens every mail in the desk; `change` is given each answer that holds messages, before the page has it. */
  const opened = async (change) => {
    const context = await browser.newContext({ storageState: ana.state, viewport: { width: 1440, height: 900 } });
    let ran = 0;
    const elsewhere = [];
    await context.exposeFunction("evil", () => { ran += 1; });
    const page = await openPage(context);
    page.on("request", (request) => { if (!request.url().startsWith(`${desk.origin}/`) && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url()); });
    let changed = 0;
    if (change) {
      await page.route("**/api/v1/conversations/*/messages?*", async (route) => {
        const answer = await route.fetch();
        const body = await answer.json();
        for (const [n, message] of body.data.entries()) message.html = change(message.conversation_id, n);
        changed += body.data.length;
        await route.fulfill({ response: answer, json: body });
      });
    }
    await page.goto(`${desk.origin}/desk/inbox/open`);
    await page.locator("html[data-hearing]").waitFor();
    let shown = 0;
    for (const n of MAILS.keys()) {
      await page.evaluate((path) => { history.pushState(null, "", path); dispatchEvent(new PopStateEvent("popstate")); }, `/desk/inbox/open/${ids.get(`Evil ${n}`)}`);
      await page.locator(`[data-message]`).nth(AROUND.length - 1).waitFor();
      const found = await page.evaluate(() => {
        const boxes = [...document.querySelectorAll("[data-message] .mail")];
        const bad = boxes.flatMap((box) => [...box.querySelectorAll("*")]).filter((element) => {
          if (/^(script|style|link|meta|base|iframe|object|embed|form|input|button|select|textarea|svg|math|video|audio|source|template|slot)$/i.test(element.tagName)) return true;
          // A picture may be in the mail itself.
          return [...element.attributes].some(({ name, value }) => /^(on|style$|id$|background|srcset|ping)/i.test(name)
            || (name === "href" && !/^(https?|mailto|tel):/.test(value)) || (name === "src" && !/^data:image\/(png|jpeg|gif|webp);base64,/.test(value)));
        });
        return { boxes: boxes.length, bad: bad.map((element) => element.outerHTML.slice(0, 200)) };
      });
      shown += found.boxes;
      const where = `${n}: ${EVIL[n]}`;
      assert.deepEqual(found.bad, [], where);
      assert.equal(ran, 0, where);
      assert.deepEqual(elsewhere, [], where);
      assert.deepEqual(page.wrong, [], where);
    }
    await context.close();
    return { shown, changed };
  };

  test("r01 r05 every mail opened in the desk: nothing runs, no other host is asked", async (t) => {
    const { shown } = await opened();
    t.diagnostic(`${shown} mails were shown with their form`);
    assert.ok(shown > MAILS.length * AROUND.length / 3, `${shown}`);
  });

  test("r01 r05 the same where the daemon has not cleaned them: the desk does not count on it", async (t) => {
    const raw = new Map();
    for (const [n, mails] of MAILS.entries()) raw.set(ids.get(`Evil ${n}`), mails);
    const { shown, changed } = await opened((conversation, n) => raw.get(conversation)[n % AROUND.length]);
    t.diagnostic(`${shown} mails were shown as they were written, ${changed} answers were changed`);
    assert.ok(changed >= MAILS.length * AROUND.length, `${changed}`);
    assert.ok(shown > MAILS.length * AROUND.length / 3, `${shown}`);
  });

  test("r06 a mail that would cover the desk looks as one that would not", async () => {
    const context = await browser.newContext({ storageState: ana.state, viewport: { width: 1024, height: 800 }, reducedMotion: "reduce" });
    const page = await openPage(context);
    /** The desk with one conversation opened whose only mail is this. */
    const picture = async (html) => {
      await page.unrouteAll({ behavior: "wait" });
      await page.route("**/api/v1/conversations/*/messages?*", async (route) => {
        const answer = await route.fetch();
        const body = await answer.json();
        for (const message of body.data) message.html = html;
        await route.fulfill({ response: answer, json: body });
      });
      await page.goto(`${desk.origin}/desk/inbox/open/${ids.get("Mask 0")}`);
      await page.getByRole("region", { name: "Messages" }).getByText("Good day, when does my order come?").waitFor();
      await page.locator("[data-row]").first().waitFor();
      await page.mouse.move(0, 0);
      return async () => (await page.screenshot({ animations: "disabled", caret: "hide" })).toString("base64");
    };
    const eyes = await (await browser.newContext()).newPage();
    /** How many pixels are of another colour; a shade, and the edge of a curve, depend on what was drawn before. */
    const unlike = (one, other) => eyes.evaluate(async (pictures) => {
      const [a, b] = await Promise.all(pictures.map(async (picture_) => {
        const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${picture_}`)).blob());
        const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
        canvas.drawImage(image, 0, 0);
        return canvas.getImageData(0, 0, image.width, image.height).data;
      }));
      let count = 0;
      for (let at = 0; at < a.length; at += 4) count += [0, 1, 2].some((part) => Math.abs(a[at + part] - b[at + part]) > 64);
      return count;
    }, [one, other]);
    /** What stands outside of the mail's box and is the mail's all the same. */
    const covered = () => page.evaluate(() => {
      const box = document.querySelector("[data-message] .mail").getBoundingClientRect();
      const places = [[5, 5], [innerWidth / 2, 5], [innerWidth - 5, innerHeight - 5], [box.left - 3, box.top], [box.left, box.bottom + 3], [5, innerHeight / 2]];
      return places.filter(([x, y]) => document.elementFromPoint(x, y)?.closest(".mail"));
    });
    /** A picture once it stays as it is. */
    const settled = async (html) => {
      const look = await picture(html);
      let last = await look();
      await eventually(async () => {
        const before_ = last;
        await page.waitForTimeout(150);
        last = await look();
        return (await unlike(last, before_)) < 20;
      }, "a picture that stays as it is");
      return last;
    };
    /** It looks as the harmless one does at the same time: an alarm or a minute that changes the desk changes both. */
    const looksTheSame = async (html, what) => {
      let different = Infinity;
      for (let round = 0; round < 5 && different >= 20; round += 1) {
        const harmless = await settled(HARMLESS);
        different = await unlike(await settled(html), harmless);
        assert.deepEqual(await covered(), [], what);
      }
      assert.ok(different < 20, `${different} pixels are not as those of the harmless one: ${what}`);
    };
    for (const [n, mask] of MASKS.entries()) {
      const { data } = await desk.get(`conversations/${ids.get(`Mask ${n + 1}`)}/messages`);
      await looksTheSame(data[0].html, `cleaned: ${mask}`);
      await looksTheSame(mask, `as it was written: ${mask}`);
    }
    // The test sees what it looks for.
    const harmless = await settled(HARMLESS);
    await page.evaluate(() => { const sheet = new CSSStyleSheet(); sheet.replaceSync(".mail p { position: fixed; inset: 0 }"); document.adoptedStyleSheets = [sheet]; });
    const covering = (await page.screenshot({ animations: "disabled", caret: "hide" })).toString("base64");
    assert.ok(await unlike(covering, harmless) > 100, "a style that a mail brings would show");
    assert.notDeepEqual(await covered(), []);
    await Promise.all([context.close(), eyes.context().close()]);
  });
});
