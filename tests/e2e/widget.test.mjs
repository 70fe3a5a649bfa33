// The widget's logic, without a page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { brotliCompressSync } from "node:zlib";

const WIDGET = new URL("../../connectors/webchat/widget/chat.js", import.meta.url);
const widget = createRequire(import.meta.url)(WIDGET.pathname);
const source = readFileSync(WIDGET, "utf8");
const pages = ["src/api/pages/try.html", "ui/index.html"]
  .map((name) => [name, readFileSync(new URL(`../../${name}`, import.meta.url), "utf8")]);

class Area {
  #kept = new Map();
  get length() { return this.#kept.size; }
  key(at) { return [...this.#kept.keys()][at] ?? null; }
  getItem(key) { return this.#kept.get(key) ?? null; }
  setItem(key, value) { this.#kept.set(key, value); }
  removeItem(key) { this.#kept.delete(key); }
}

test("the script is smaller than 20 kB", () => {
  assert.ok(brotliCompressSync(source).length < 20_000);
});

test("r02 no sink that turns text into markup or code is used", () => {
  const sinks = /\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval|Function\(|srcdoc|setHTML|createContextualFragment)\b/;
  for (const [name, text] of [["chat.js", source], ...pages]) assert.equal(sinks.exec(text)?.[0], undefined, name);
});

test("v04 nobody's postMessage is listened to", () => {
  const listening = /addEventListener\(\s*["'`]message|onmessage|BroadcastChannel|postMessage|MessageChannel/.exec(source);
  assert.equal(listening, null);
});

test("pages have no inline script, style or handler", () => {
  for (const [name, text] of pages) {
    assert.doesNotMatch(text, /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:/i, name);
  }
});

test("every language says everything, with all its plurals", () => {
  const keys = Object.keys(widget.WORDS.en);
  for (const [language, words] of Object.entries(widget.WORDS)) {
    assert.deepEqual(Object.keys(words).sort(), [...keys].sort(), language);
    const forms = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
    for (const key of keys) {
      const plural = typeof widget.WORDS.en[key] === "object";
      assert.equal(typeof words[key], plural ? "object" : "string", `${language} ${key}`);
      if (plural) for (const form of forms) assert.match(words[key][form] ?? "", /\{n\}|^\S/, `${language} ${key} ${form}`);
      const holes = (entry) => [...new Set(JSON.stringify(entry).match(/\{\w+\}/g) ?? [])].sort();
      assert.deepEqual(holes(words[key]), holes(widget.WORDS.en[key]), `${language} ${key}`);
      assert.doesNotMatch(JSON.stringify(words[key]), /!/, `${language} ${key}`);
    }
  }
});

test("plurals follow the language", () => {
  const said = (language, ...numbers) => numbers.map((n) => widget.speaker(language)("fresh", { n }));
  assert.deepEqual(said("pl", 1, 2, 5, 22, 112), ["1 nowa wiadomość", "2 nowe wiadomości", "5 nowych wiadomości", "22 nowe wiadomości", "112 nowych wiadomości"]);
  assert.deepEqual(said("ru", 1, 3, 11, 21), ["1 новое сообщение", "3 новых сообщения", "11 новых сообщений", "21 новое сообщение"]);
  assert.deepEqual(said("sk", 1, 4, 5), ["1 nová správa", "4 nové správy", "5 nových správ"]);
  assert.deepEqual(said("cs", 1, 2, 7), ["1 nová zpráva", "2 nové zprávy", "7 nových zpráv"]);
  assert.deepEqual(said("de", 1, 2), ["1 neue Nachricht", "2 neue Nachrichten"]);
});

test("the page's language comes before the reader's", () => {
  assert.equal(widget.chooseLanguage(["sk", "de"]), "sk");
  assert.equal(widget.chooseLanguage(["PL-pl", "de"]), "pl");
  assert.equal(widget.chooseLanguage(["", "fr-FR", "cs-CZ"]), "cs");
  assert.equal(widget.chooseLanguage(["fr", "constructor", "__proto__"]), "en");
  assert.equal(widget.chooseLanguage([undefined]), "en");
});

test("r07 only http and https become links", () => {
  const links = (text) => widget.linkPieces(text).filter((piece) => typeof piece === "object").map((piece) => piece.href);
  for (const text of [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>x</script>", "vbscript:x", "file:///etc/passwd", "blob:https://a.example/x",
    "javascript://https://%0aalert(1)", "//shop.example", "shop.example", "mailto:a@b.example", "https://", "http://[", "xhttps://shop.example",
  ]) {
    const found = links(text);
    for (const href of found) assert.match(href, /^https?:\/\//, text);
  }
  assert.deepEqual(links("javascript:alert(1)"), []);
  assert.deepEqual(links("see https://shop.example/a?b=c#d, and (http://x.example/y)."), ["https://shop.example/a?b=c#d", "http://x.example/y"]);
  assert.deepEqual(links("https://x.example/a_(b)"), ["https://x.example/a_(b)"]);
  assert.deepEqual(links("https://аррӏе.example/"), ["https://xn--80ak6aa92e.example/"], "the title shows the real host");
});

test("links lose nothing of the text", () => {
  for (const text of ["", "a", "https://x.example", "a https://x.example. b http://y.example", "“https://x.example”", "https://x.example\nhttps://y.example)"]) {
    const joined = widget.linkPieces(text).map((piece) => piece.text ?? piece).join("");
    assert.equal(joined, text);
  }
});

test("waiting doubles to a minute, with jitter, and honours what the server asks", () => {
  assert.equal(widget.pause(0, 0, 1), 1000);
  assert.equal(widget.pause(0, 0, 0), 500);
  assert.equal(widget.pause(3, 0, 1), 8000);
  assert.equal(widget.pause(99, 0, 1), 60_000);
  assert.equal(widget.pause(0, 20_000, 0.5), 20_500);
  assert.equal(widget.pause(0, 1e12, 0), 600_000);
  assert.equal(widget.retryAfterOf("7"), 7000);
  assert.equal(widget.retryAfterOf(null), 0);
  assert.equal(widget.retryAfterOf("soon"), 0);
  assert.equal(widget.retryAfterOf("-5"), 0);
  assert.equal(widget.retryAfterOf("Sat, 21 Nov 2026 10:00:30 GMT", Date.UTC(2026, 10, 21, 10)), 30_000);
});

test("r09 the stream is read the same however it is cut", () => {
  const stream = ": hello\n\nid: 7\nevent: message.created\ndata: {\"a\":1}\n\nevent: reset\ndata\n\nid: 8\r\ndata: x\r\ndata:  y\r\n\r\nid: 9\0\ndata:z\n\ndata: never finished\n";
  const whole = [];
  widget.eventReader((event) => whole.push(event))(stream);
  assert.deepEqual(whole, [
    { id: "7", type: "message.created", data: "{\"a\":1}" },
    { id: "7", type: "reset", data: "" },
    { id: "8", type: "message", data: "x\n y" },
    { id: "8", type: "message", data: "z" },
  ]);
  for (let size = 1; size < 20; size += 1) {
    const pieces = [];
    const read = widget.eventReader((event) => pieces.push(event));
    for (let from = 0; from < stream.length; from += size) read(stream.slice(from, from + size));
    assert.deepEqual(pieces, whole, `pieces of ${size}`);
  }
});

const entry = (id, at, owner = "") => ({ client_id: id, text: id, attachments: [], at, owner, state: "queued" });

test("the queue keeps order, owners apart, and two tabs' messages", () => {
  const area = new Area();
  const [one, two] = [0, 1].map(() => widget.makeQueue(widget.safeBox(area), "deskbell.website.q."));
  one.put(entry("b", 2));
  two.put(entry("a", 1));
  two.put(entry("c", 2));
  one.put(entry("x", 3, "4711"));
  assert.deepEqual(one.all("").map((each) => each.client_id), ["a", "b", "c"]);
  assert.deepEqual(two.all("4711").map((each) => each.client_id), ["x"]);
  two.drop("b");
  assert.deepEqual(one.all("").map((each) => each.client_id), ["a", "c"]);
  one.adopt("4711");
  assert.deepEqual(one.all("4711").map((each) => each.client_id), ["a", "c", "x"]);
  assert.deepEqual(one.all(""), []);
});

test("what somebody else put into the storage breaks nothing", () => {
  const area = new Area();
  for (const [at, value] of ["", "{", "null", "[]", "7", "{\"client_id\":7}", "{\"client_id\":\"a\",\"text\":null}"].entries()) area.setItem(`q.${at}`, value);
  area.setItem("other", "x");
  assert.deepEqual(widget.makeQueue(widget.safeBox(area), "q.").all(""), []);
});

test("where the browser keeps nothing the queue lives as long as the page", () => {
  const full = new Area();
  full.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
  for (const area of [null, full]) {
    const queue = widget.makeQueue(widget.safeBox(area), "q.");
    queue.put(entry("a", 1));
    assert.equal(queue.all("").length, 1);
    queue.drop("a");
    assert.equal(queue.all("").length, 0);
  }
});

test("a message is shown once, in its latest form, and stays deleted", () => {
  const history = widget.makeHistory();
  const message = { id: "msg_1", kind: "message", text: "a", sent_at: "2026-11-21T10:00:00.000Z", client_id: "c1" };
  history.merge(message);
  history.merge({ ...message, client_id: undefined, text: "b" });
  assert.deepEqual(history.all().map((one) => [one.text, one.client_id]), [["b", "c1"]]);
  assert.ok(history.has("c1"));
  history.merge({ ...message, deleted_at: "2026-11-21T10:01:00.000Z", text: null });
  history.merge(message);
  assert.equal(history.all()[0].text, null);
  history.merge({ id: "msg_2", kind: "note", text: "only for staff", sent_at: message.sent_at });
  history.merge({ id: 7 });
  history.merge(null);
  history.merge({ id: "msg_0", sent_at: "2026-11-21T09:00:00.000Z" });
  assert.deepEqual(history.all().map((one) => one.id), ["msg_0", "msg_1"]);
});

test("ids are random UUIDs also where the browser has no randomUUID", () => {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  const own = crypto.randomUUID;
  try {
    crypto.randomUUID = undefined;
    const ids = Array.from({ length: 1000 }, () => widget.newId());
    for (const id of ids) assert.match(id, form);
    assert.equal(new Set(ids).size, 1000);
  } finally { crypto.randomUUID = own; }
  assert.match(widget.newId(), form);
});
