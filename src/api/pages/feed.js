// The feed, live: what every channel brings, newest first. Foreign text only ever becomes a text node (R02).
"use strict";

const PAGE = 50; // messages of one page
const KEPT = 500; // messages that stay on the screen
const STREAM_SILENCE = 45_000; // ms; the server says something at least every 15 s

const at = (id) => document.getElementById(id);
const items = new Map(); // message id → {message, node}
const channels = new Map(); // channel id → name
const unreadOf = new Map(); // conversation id → unread count
let older = null; // cursor of the next page
let waiting = []; // messages that came while the pointer was in the list
let lastEventId = null;

// ---------------------------------------------------------------------------------------------------- words and times

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

function timeWords(time) {
  const today = new Date().toDateString() === time.toDateString();
  return (today ? clock : dayAndClock).format(time);
}

function sizeWords(bytes) {
  const [unit, value] = bytes < 1000 ? ["byte", bytes] : bytes < 1_000_000 ? ["kilobyte", bytes / 1000] : ["megabyte", bytes / 1_000_000];
  return new Intl.NumberFormat(undefined, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

function initials(name) {
  const letters = name.split(/\s+/).filter(Boolean).map((word) => [...word][0]);
  return letters.length ? (letters[0] + (letters.length > 1 ? letters.at(-1) : "")).toUpperCase() : "?";
}

// ---------------------------------------------------------------------------------------------------- one message

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function customerOf(message) {
  const author = message.author ?? {};
  const name = message.contact?.name || message.conversation?.contact?.name || (author.type === "contact" ? author.name : null);
  if (name) return name;
  // Several who gave no name are told apart by the end of their id.
  const id = message.contact?.id ?? message.conversation?.contact?.id ?? "";
  return id ? `Visitor ${id.slice(-4).toUpperCase()}` : "Visitor";
}

function whoWrote(message) {
  if (message.direction === "inbound") return message.author?.name || customerOf(message);
  const writer = message.author?.name || (message.author?.type === "bot" ? "Automatic answer" : "The shop");
  return `${writer} → ${customerOf(message)}`;
}

const STATES = { queued: "sending", sent: "sent", delivered: "delivered", read: "read" };

function deliveryNode(delivery) {
  if (!delivery) return null;
  if (STATES[delivery.state]) return make("span", {}, STATES[delivery.state]);
  const why = delivery.error?.detail ? `: ${delivery.error.detail}` : "";
  const state = delivery.state === "failed" ? "not sent" : "nobody knows whether it was sent";
  return make("span", { class: "bad" }, state + why);
}

function attachmentNode(attachment) {
  const name = attachment.name || attachment.title || attachment.kind;
  const own = typeof attachment.url === "string" && attachment.url.startsWith("/api/v1/attachments/") ? attachment.url : null;
  if (attachment.state !== "stored" || !own) {
    const states = { pending: "on its way", failed: attachment.detail ?? "could not be fetched", too_large: "too large to keep", expired: "no longer available" };
    return make("span", { class: "file" }, name, make("small", {}, states[attachment.state] ?? attachment.kind));
  }
  if (["image", "sticker"].includes(attachment.kind) && attachment.mime_type !== "image/svg+xml") {
    return make("a", { class: "picture", href: own, download: name }, make("img", { src: own, alt: name, loading: "lazy" }));
  }
  const size = attachment.size ? make("small", {}, sizeWords(attachment.size)) : null;
  return make("a", { class: "file", href: own, download: name }, make("span", { dir: "auto" }, name), size);
}

function itemNode(message) {
  const kind = message.direction === "outbound" ? " out" : "";
  const sent = new Date(message.sent_at);
  const connector = /^[a-z]+$/.test(message.connector ?? "") ? message.connector : "";
  const text = message.deleted_at ? "This message was deleted" : message.text;
  const extra = make("div", { class: "extra" });
  if (!message.deleted_at) for (const attachment of message.attachments ?? []) extra.append(attachmentNode(attachment));
  for (const reaction of message.reactions ?? []) {
    extra.append(make("span", { class: "reaction", title: reaction.author?.name ?? null }, reaction.emoji));
  }
  if (message.edited_at && !message.deleted_at) extra.append(make("span", {}, "edited"));
  const delivery = deliveryNode(message.delivery);
  if (delivery) extra.append(delivery);
  const again = message.direction === "outbound" && ["failed", "unknown"].includes(message.delivery?.state);
  if (message.conversation_id && (message.direction === "inbound" || again) && !message.deleted_at) {
    const button = make("button", { class: "answer-button", type: "button", "aria-label": `Answer ${customerOf(message)}` }, again ? "Write again" : "Answer");
    button.addEventListener("click", () => openAnswer(message.id));
    extra.append(button);
  }
  return make("li", { class: `item${kind}` },
    make("span", { class: `avatar ${connector}`, "aria-hidden": "true" }, initials(customerOf(message))),
    make("div", { class: "line" },
      make("span", { class: "who", dir: "auto" }, whoWrote(message)),
      make("span", { class: "channel", dir: "auto" }, channels.get(message.channel_id) ?? message.channel_id),
      make("time", { datetime: message.sent_at, title: exact.format(sent) }, timeWords(sent))),
    text ? make("div", { class: message.deleted_at ? "text none" : "text", dir: "auto" }, text) : null,
    extra);
}

// ---------------------------------------------------------------------------------------------------- answering

/** Opens the form below a message; one that is open already gets the focus. */
function openAnswer(id) {
  const { node, message } = items.get(id) ?? {};
  if (!node) return;
  const open = node.querySelector("form");
  if (open) return open.elements.text.focus();
  const text = make("textarea", { name: "text", rows: "3", required: "", dir: "auto", "aria-label": `Answer to ${customerOf(message)}` });
  if (message.direction === "outbound") text.value = message.text ?? "";
  const send = make("button", { class: "button send", type: "submit" }, "Send");
  const cancel = make("button", { class: "button", type: "button" }, "Cancel");
  const trouble = make("p", { class: "trouble", role: "alert" });
  const form = make("form", { class: "answer" }, text, make("div", { class: "answer-bar" }, send, cancel, make("small", {}, "Ctrl + Enter sends")), trouble);
  const close = () => {
    form.remove();
    items.get(id)?.node.querySelector(".answer-button")?.focus();
  };
  cancel.addEventListener("click", close);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  // The same words sent again are the same answer, whatever became of the first try.
  let key = null;
  text.addEventListener("input", () => { key = null; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!text.value.trim() || send.disabled) return;
    key ??= Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    send.disabled = true;
    trouble.textContent = "";
    try {
      const answer = await sendAnswer(message.conversation_id, text.value, key);
      close();
      markRead(message.conversation_id);
      // Who answers sees it at once, and what waited with it; the stream then only brings it up to date.
      takeWaiting();
      if (!items.has(answer.id)) place({ conversation: message.conversation, contact: message.contact, ...answer }).classList.add("arrived");
      showState();
    } catch (reason) {
      trouble.textContent = reason.words ?? "The answer did not reach Deskbell. It is still here: try again in a moment.";
      send.disabled = false;
    }
  });
  node.append(form);
  text.focus();
}

/** Who answers has read. Where this fails the conversation only stays unread. */
function markRead(conversation) {
  fetch(`/api/v1/conversations/${encodeURIComponent(conversation)}/read`, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    body: "{}",
  }).catch(() => {});
}

async function sendAnswer(conversation, text, key) {
  const answer = await fetch(`/api/v1/conversations/${encodeURIComponent(conversation)}/messages`, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    body: JSON.stringify({ text }),
  });
  if (answer.ok) return answer.json();
  const refused = new Error(`the server answered ${answer.status}`);
  try { refused.words = (await answer.json()).detail; } catch { /* no problem document: the general words do */ }
  throw refused;
}

// ---------------------------------------------------------------------------------------------------- the list

const list = at("feed");

function place(message, end) {
  const known = items.get(message.id);
  const node = itemNode(known ? { ...known.message, ...message } : message);
  if (known) {
    // An answer that is being written stays where it is.
    const form = known.node.querySelector("form.answer");
    const focused = form?.contains(document.activeElement) ? document.activeElement : null;
    known.node.replaceWith(node);
    if (form) node.append(form);
    focused?.focus();
  }
  else if (end) list.append(node);
  else list.prepend(node);
  items.set(message.id, { message: known ? { ...known.message, ...message } : message, node });
  return node;
}

function countUnread(conversation) {
  if (conversation?.id) unreadOf.set(conversation.id, conversation.unread_count ?? 0);
  const sum = [...unreadOf.values()].reduce((all, one) => all + one, 0);
  at("unread").hidden = sum === 0;
  at("unread").textContent = `${sum} unread`;
  document.title = sum ? `(${sum}) Deskbell` : "Deskbell";
}

function showState() {
  at("empty").hidden = items.size + waiting.length > 0;
  at("older").hidden = !older;
  at("new").hidden = waiting.length === 0;
  at("new").textContent = `${waiting.length} new`;
}

/** A list never jumps under the pointer: what comes meanwhile waits behind "3 new". */
function inUse() {
  return items.size > 0 && (list.matches(":hover") || list.contains(document.activeElement) || scrollY > 80);
}

async function arrived(message) {
  if (items.has(message.id)) place(message);
  else if (waiting.some((one) => one.id === message.id)) waiting = waiting.map((one) => (one.id === message.id ? message : one));
  else if (inUse()) waiting.push(message);
  else place(message).classList.add("arrived");
  await trim();
  showState();
}

function takeWaiting() {
  for (const message of waiting) place(message);
  waiting = [];
  showState();
}

function showWaiting() {
  takeWaiting();
  scrollTo({ top: 0 });
}

/** A desk that is open for a week must not grow for a week: now and then it starts again with the newest page. */
async function trim() {
  if (items.size > KEPT && !inUse() && !list.querySelector("form.answer")) await readList();
}

// ---------------------------------------------------------------------------------------------------- the server

class Trouble extends Error {
  constructor(status, retryAfter = 0) {
    super(`the server answered ${status}`);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

async function get(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  if (answer.status === 401) location.reload(); // the server shows how to sign in
  if (!answer.ok) throw new Trouble(answer.status, (Number(answer.headers.get("Retry-After")) || 0) * 1000);
  return answer;
}

async function readList() {
  const { data, next } = await (await get(`/api/v1/feed?limit=${PAGE}`)).json();
  items.clear();
  unreadOf.clear();
  waiting = [];
  list.replaceChildren();
  for (const message of data) {
    place(message, true);
    if (!unreadOf.has(message.conversation?.id)) countUnread(message.conversation);
  }
  countUnread();
  older = next;
  showState();
}

async function readOlder() {
  const button = at("older");
  button.disabled = true;
  try {
    const { data, next } = await (await get(`/api/v1/feed?limit=${PAGE}&cursor=${encodeURIComponent(older)}`)).json();
    for (const message of data) {
      if (items.has(message.id)) continue;
      place(message, true);
      if (!unreadOf.has(message.conversation?.id)) countUnread(message.conversation);
    }
    older = next;
  } catch { say("The older messages could not be read. Try again in a moment."); }
  button.disabled = false;
  showState();
}

async function readMe() {
  const me = await (await get("/api/v1/me")).json();
  const user = me.user ?? me;
  at("me").textContent = user.name || user.email || "";
}

async function readChannels() {
  const { data } = await (await get("/api/v1/channels?limit=200")).json();
  for (const channel of data) channels.set(channel.id, channel.name || channel.id);
  const chat = data.find((channel) => channel.connector === "webchat");
  for (const id of ["try", "empty-try"]) {
    at(id).hidden = !chat;
    if (chat) at(id).href = `/try/${encodeURIComponent(chat.id)}`;
  }
}

// ---------------------------------------------------------------------------------------------------- the stream

/** Reads Server-Sent Events from chunks of text; calls `onEvent({id, type, data})`. */
function eventReader(onEvent) {
  let rest = "";
  let event = { id: null, type: "message", data: [] };
  return (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.replace(/\r$/, "");
      if (line === "") {
        if (event.data.length || event.type !== "message") onEvent({ ...event, data: event.data.join("\n") });
        event = { id: event.id, type: "message", data: [] };
        continue;
      }
      const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line);
      if (field === "data") event.data.push(value);
      else if (field === "event") event.type = value;
      else if (field === "id") event.id = value;
    }
  };
}

async function onEvent(event) {
  if (event.type === "reset") {
    lastEventId = null;
    await readList();
  }
  if (event.id) lastEventId = event.id;
  let data;
  try { data = JSON.parse(event.data).data; } catch { return; }
  if (!data) return;
  if (event.type === "message.created" || event.type === "message.updated") {
    const { message, conversation, contact } = data;
    if (!message || (message.kind ?? "message") !== "message") return; // the feed has no notes, live as when it is read
    const whole = { ...message, conversation: message.conversation ?? conversation, contact: message.contact ?? contact };
    if (event.type === "message.created" || items.has(message.id)) await arrived(whole);
    if (event.type === "message.created" && message.direction === "inbound") {
      at("announce").textContent = `${whoWrote(whole)}: ${message.text || "an attachment"}`;
    }
    countUnread(conversation);
  } else if (event.type === "conversation.updated") countUnread(data.conversation);
  else if (event.type === "channel.health") readChannels().catch(() => {});
}

let lostSince = null;

function say(words) {
  const line = at("connection");
  if (line.textContent !== words) line.textContent = words;
}

async function readStream() {
  const stop = new AbortController();
  let watchdog = setTimeout(() => stop.abort(), STREAM_SILENCE);
  try {
    const headers = { Accept: "text/event-stream", ...(lastEventId && { "Last-Event-ID": lastEventId }) };
    const answer = await get("/api/v1/events", { headers, signal: stop.signal });
    // The stream is open: nothing falls between the list and it.
    if (!lastEventId) await readList();
    lostSince = null;
    say("");
    const bytes = answer.body.getReader();
    const decoder = new TextDecoder();
    let inOrder = Promise.resolve();
    const read = eventReader((event) => { inOrder = inOrder.then(() => onEvent(event)); });
    for (;;) {
      const { value, done } = await bytes.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => stop.abort(), STREAM_SILENCE);
      read(decoder.decode(value, { stream: true }));
      await inOrder;
    }
  } finally {
    clearTimeout(watchdog);
    stop.abort();
  }
}

async function follow() {
  let wake = () => {};
  addEventListener("online", () => wake());
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") wake(); });
  for (let attempt = 0; ; attempt += 1) {
    const begun = Date.now();
    let retryAfter = 0;
    try { await readStream(); } catch (trouble) { retryAfter = trouble.retryAfter ?? 0; }
    if (Date.now() - begun > 10_000) attempt = 0;
    lostSince ??= new Date();
    say(`Connection lost, trying again since ${clock.format(lostSince)}`);
    const wait = retryAfter || Math.min(30_000, 1000 * 2 ** Math.min(attempt, 5)) * (0.5 + Math.random() / 2);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      wake = () => { if (!retryAfter) { clearTimeout(timer); resolve(); } };
    });
    wake = () => {};
  }
}

// ---------------------------------------------------------------------------------------------------- beginning

at("new").addEventListener("click", showWaiting);
at("older").addEventListener("click", readOlder);
list.addEventListener("pointerleave", () => { if (waiting.length && scrollY <= 80) showWaiting(); });
readMe().catch(() => {});
readChannels().catch(() => {}).finally(follow);
