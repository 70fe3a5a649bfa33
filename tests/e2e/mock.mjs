// A small desk in memory that can misbehave on command: it loses answers, asks for patience, forgets sessions. The
// real daemon does none of that when asked, and the widget has to survive all of it.

import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const REPOSITORY = new URL("../../", import.meta.url);
const PAGES = new URL("src/api/pages/", REPOSITORY);
const WIDGET = new URL("connectors/webchat/widget/chat.js", REPOSITORY);
const POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const TYPES = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };

const bodyOf = async (request) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
};

/** Starts the desk on a free port of the loopback. `allowedOrigins` may use the chat from other websites. */
export async function startMock({ allowedOrigins = [] } = {}) {
  const messages = []; // oldest first
  const answers = new Map(); // Idempotency-Key → the answer that it made
  const attachments = new Map(); // id → {bytes, about}
  const sessions = new Map(); // token → conversation id
  const customers = new Map(); // a logged-in customer's id → conversation id
  const contacts = new Map(); // conversation id → name
  const streams = new Set(); // {answer, conversation}
  const log = []; // the stream's events
  const misbehave = {
    loseAnswers: 0, // store the next messages and cut the line instead of answering
    tooMany: 0, // answer 429 to the next messages
    retryAfter: 1, // seconds that 429 asks for
    refuse: 0, // answer 422 to the next messages
    forget: false, // refuse every token once
    delay: 0, // ms before a message is stored
    down: false, // cut every connection
  };
  const seen = { posts: 0, sessions: 0, streams: 0, typing: 0 };

  const tell = (type, data, conversation) => {
    const event = { seq: log.length + 1, type, at: new Date().toISOString(), data };
    log.push({ event, conversation });
    for (const stream of streams) sendEvent(stream, { event, conversation });
  };
  const sendEvent = (stream, { event, conversation }) => {
    if (stream.conversation !== conversation) return;
    stream.answer.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  };
  const conversationOf = (id) => ({
    id, channel_id: "website", connector: "webchat", contact: { id: `cus_${id}`, name: contacts.get(id) ?? null },
  });
  const add = (conversation, direction, author, text, more = {}) => {
    const now = new Date().toISOString();
    const message = {
      id: `msg_${String(messages.length).padStart(6, "0")}`, conversation_id: conversation, channel_id: "website", connector: "webchat",
      direction, kind: "message", author, text, attachments: [], reply_to: null, reactions: [], metadata: {}, sent_at: now,
      received_at: now, edited_at: null, deleted_at: null, delivery: null, ...more,
    };
    messages.push(message);
    tell("message.created", { message, conversation: conversationOf(conversation) }, conversation);
    return message;
  };

  async function chat(request, answer, path, json) {
    const origin = request.headers.origin;
    const foreign = origin && origin !== desk.origin;
    if (foreign && allowedOrigins.includes(origin)) {
      answer.setHeader("Access-Control-Allow-Origin", origin);
      answer.setHeader("Access-Control-Allow-Headers", "authorization, content-type, last-event-id");
      answer.setHeader("Access-Control-Allow-Methods", "GET, POST");
      answer.setHeader("Access-Control-Expose-Headers", "Retry-After");
      answer.setHeader("Vary", "Origin");
    }
    if (request.method === "OPTIONS") return answer.writeHead(204).end();
    if (foreign && !allowedOrigins.includes(origin)) return json(403, { title: "origin" });
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (path === "session") {
      seen.sessions += 1;
      const { identity } = JSON.parse(await bodyOf(request));
      if (identity && identity.signature !== "genuine") return json(403, { title: "identity" });
      if (token && !sessions.has(token)) return json(401, { title: "token" });
      const conversation = customers.get(identity?.id) ?? sessions.get(token) ?? `cnv_${randomUUID()}`;
      if (identity) customers.set(identity.id, conversation);
      contacts.set(conversation, identity?.name ?? contacts.get(conversation));
      const fresh = `tok_${randomUUID()}`;
      sessions.set(fresh, conversation);
      return json(200, { token: fresh, conversation: conversationOf(conversation) });
    }
    const conversation = misbehave.forget ? undefined : sessions.get(token);
    if (misbehave.forget) { misbehave.forget = false; sessions.clear(); }
    if (!conversation) return json(401, { title: "token" });
    if (path === "messages" && request.method === "GET") {
      const cursor = new URL(request.url, desk.origin).searchParams.get("cursor");
      const all = messages.filter((one) => one.conversation_id === conversation).reverse();
      const from = Number(cursor ?? 0);
      return json(200, { data: all.slice(from, from + 50), next: from + 50 < all.length ? String(from + 50) : null });
    }
    if (path === "messages") {
      seen.posts += 1;
      const { text, client_id: clientId, attachment_ids: ids = [] } = JSON.parse(await bodyOf(request));
      if (misbehave.tooMany > 0) {
        misbehave.tooMany -= 1;
        answer.setHeader("Retry-After", String(misbehave.retryAfter));
        return json(429, { title: "slow down" });
      }
      if (misbehave.refuse > 0) { misbehave.refuse -= 1; return json(422, { title: "no" }); }
      if (misbehave.delay) await new Promise((resolve) => { setTimeout(resolve, misbehave.delay); });
      const author = { type: "contact", id: `cus_${conversation}`, name: contacts.get(conversation) ?? null };
      const known = messages.find((one) => one.client_id === clientId && one.conversation_id === conversation);
      const message = known ?? add(conversation, "inbound", author, text, {
        client_id: clientId, attachments: ids.map((id) => attachments.get(id).about),
      });
      if (misbehave.loseAnswers > 0) { misbehave.loseAnswers -= 1; return request.socket.destroy(); }
      return json(known ? 200 : 201, message);
    }
    if (path === "events") return openStream(request, answer, conversation);
    if (path === "typing") { seen.typing += 1; return json(200, {}); }
    if (path === "attachments") {
      const body = await bodyOf(request);
      const head = body.subarray(0, body.indexOf("\r\n\r\n")).toString("utf8");
      const name = /filename="([^"]*)"/.exec(head)?.[1] ?? "file";
      const type = /Content-Type: (.+)/i.exec(head)?.[1] ?? "application/octet-stream";
      const bytes = body.subarray(body.indexOf("\r\n\r\n") + 4, body.lastIndexOf("\r\n--"));
      const id = `att_${randomUUID()}`;
      const about = {
        id, kind: type.startsWith("image/") ? "image" : "file", name: decodeURIComponent(name), mime_type: type, size: bytes.length,
        url: `/api/v1/attachments/${id}`, state: "stored",
      };
      attachments.set(id, { bytes, about });
      return json(201, about);
    }
    const held = attachments.get(/^attachments\/(.+)$/.exec(path)?.[1]);
    if (!held) return json(404, { title: "not found" });
    return answer.writeHead(200, { "Content-Type": held.about.mime_type, "Content-Disposition": "attachment" }).end(held.bytes);
  }

  function openStream(request, answer, conversation) {
    seen.streams += 1;
    answer.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    const stream = { answer, conversation };
    const after = Number(request.headers["last-event-id"] ?? log.length);
    answer.write(": open\n\n");
    for (const entry of log.slice(after)) sendEvent(stream, entry);
    streams.add(stream);
    request.on("close", () => streams.delete(stream));
  }

  async function api(request, answer, path, json) {
    if (!request.headers.authorization) return json(401, { title: "sign in" });
    if (path === "feed") {
      const query = new URL(request.url, desk.origin).searchParams;
      const all = messages.map((one) => ({ ...one, conversation: conversationOf(one.conversation_id), contact: conversationOf(one.conversation_id).contact })).reverse();
      const from = Number(query.get("cursor") ?? 0);
      const to = from + Number(query.get("limit") ?? 50);
      return json(200, { data: all.slice(from, to), next: to < all.length ? String(to) : null });
    }
    const replyTo = /^conversations\/([^/]+)\/messages$/.exec(path)?.[1];
    if (replyTo && request.method === "POST") {
      const { text, private: note } = JSON.parse(await bodyOf(request));
      if (note) return json(201, { text });
      const key = request.headers["idempotency-key"];
      if (!answers.has(key)) answers.set(key ?? Symbol("no key"), add(replyTo, "outbound", { type: "staff", id: "usr_1", name: "Ana Kováčová" }, text, { delivery: { state: "sent", at: new Date().toISOString(), error: null } }));
      return json(202, key ? answers.get(key) : messages.at(-1));
    }
    const held = attachments.get(/^attachments\/(.+)$/.exec(path)?.[1]);
    if (!held) return json(404, { title: "not found" });
    return answer.writeHead(200, { "Content-Type": held.about.mime_type, "Content-Disposition": "attachment" }).end(held.bytes);
  }

  async function page(answer, file, channel) {
    const text = await readFile(fileURLToPath(file), "utf8");
    const type = TYPES[file.pathname.split(".").pop()];
    answer.writeHead(200, { "Content-Type": `${type}; charset=utf-8`, "Content-Security-Policy": POLICY });
    answer.end(text.replaceAll("{{channel}}", channel));
  }

  const server = createServer(async (request, answer) => {
    if (misbehave.down) return request.socket.destroy();
    const { pathname } = new URL(request.url, "http://desk");
    const json = (status, value) => answer.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    try {
      if (pathname === "/chat/website.js") return await page(answer, WIDGET, "");
      if (pathname === "/try/website") return await page(answer, new URL("try.html", PAGES), "website");
      const asset = /^\/assets\/(\w+\.\w+)$/.exec(pathname)?.[1];
      if (asset) return await page(answer, new URL(asset, PAGES), "");
      const visitors = /^\/chat\/website\/(.+)$/.exec(pathname)?.[1];
      if (visitors) return await chat(request, answer, visitors, json);
      const path = /^\/api\/v1\/(.+)$/.exec(pathname)?.[1];
      if (path) return await api(request, answer, path, json);
      return json(404, { title: "not found" });
    } catch (error) {
      return json(500, { title: String(error) });
    }
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const desk = {
    kind: "mock",
    origin: `http://127.0.0.1:${server.address().port}`,
    messages, misbehave, seen, streams,
    reply: (text, more) => add(messages.at(-1).conversation_id, "outbound", { type: "staff", id: "usr_1", name: "Ana Kováčová" }, text, more),
    update(message, change) {
      Object.assign(message, change);
      tell("message.updated", { message }, message.conversation_id);
    },
    reset() { for (const { answer } of streams) answer.write("event: reset\ndata: {}\n\n"); },
    cutStreams() { for (const { answer } of streams) answer.destroy(); },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
  return desk;
}
