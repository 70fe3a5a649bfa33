// Customers, quickly: visitors of the website chat, signed webhooks of a page on Messenger, and whole histories to import.

import { createHmac, randomUUID } from "node:crypto";

import { APP_SECRET, IDENTITY_SECRET, PAGE_ID } from "./harness.mjs";

/** A visitor of the website chat; with a name it is a customer whom the shop has signed. */
export async function visitor(desk, { name, id = randomUUID(), email } = {}) {
  const call = async (path, body, token) => {
    for (;;) {
      const answer = await fetch(`${desk.origin}/chat/website/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
        body: JSON.stringify(body),
      });
      if (answer.status === 429) {
        await new Promise((resolve) => { setTimeout(resolve, 1000 * (Number(answer.headers.get("retry-after")) || 1)); });
        continue;
      }
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return answer.status === 204 ? null : answer.json();
    }
  };
  const signature = createHmac("sha256", IDENTITY_SECRET).update(id).digest("hex");
  const { token, conversation } = await call("session", name === undefined ? {} : { identity: { id, name, email, signature } });
  return {
    token,
    conversation,
    say: (text, more = {}) => call("messages", { text, client_id: randomUUID(), ...more }, token),
    typing: () => call("typing", {}, token),
    async attach(name_, type, bytes) {
      const form = new FormData();
      form.append("file", new Blob([bytes], { type }), name_);
      const answer = await fetch(`${desk.origin}/chat/website/attachments`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: form });
      if (!answer.ok) throw new Error(`attachment: ${answer.status} ${await answer.text()}`);
      return answer.json();
    },
    /** What the visitor sees, newest first. */
    async messages() {
      const answer = await fetch(`${desk.origin}/chat/website/messages`, { headers: { Authorization: `Bearer ${token}` } });
      return (await answer.json()).data;
    },
  };
}

let mids = 0;
/** An event of Messenger's: what this person writes. `message` replaces or adds to what the platform sends. */
export const written = (sender, text, { at = Date.now(), mid = `m_seed_${process.pid}_${mids += 1}`, ...message } = {}) => ({
  sender: { id: String(sender) }, recipient: { id: PAGE_ID }, timestamp: at, message: { mid, text, ...message },
});

/** Delivers events to the page on Messenger as its platform does: signed, as many as there are in one call. */
export async function deliver(desk, events) {
  const body = JSON.stringify({ object: "page", entry: [{ id: PAGE_ID, time: Date.now(), messaging: [events].flat() }] });
  for (;;) {
    const answer = await fetch(`${desk.origin}/webhooks/shop-page`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Hub-Signature-256": `sha256=${createHmac("sha256", APP_SECRET).update(body).digest("hex")}` },
      body,
    });
    if (answer.status === 503) {
      await new Promise((resolve) => { setTimeout(resolve, 500); });
      continue;
    }
    if (answer.status !== 200) throw new Error(`webhook: ${answer.status} ${await answer.text()}`);
    return;
  }
}

const time = (at) => new Date(at).toISOString();
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** An id of the desk's: the milliseconds, and a number within them; it sorts by time. */
function id(prefix, at, n) {
  const number = (BigInt(at) << 22n) + BigInt(n);
  let digits = "";
  for (let place = 12n; place >= 0n; place -= 1n) digits += DIGITS[Number((number >> (5n * place)) & 31n)];
  return `${prefix}_${digits}`;
}

/**
 * A history as `deskbell export` writes it: for each of `conversations` a customer with so many messages, a minute apart,
 * the last at its `at`; they wait unless they are answered. A text may be `{ text, html }`, as a mail has both. Gives the
 * text for `deskbell import`.
 */
export function* history(conversations, { channel = "shop-page", connector = "messenger", ids = "1" } = {}) {
  const counts = { channel: 1, contact: 0, merged_contact: 0, conversation: 0, message: 0, file: 0 };
  const line = (type, value) => `${JSON.stringify({ type, ...value })}\n`;
  yield line("deskbell-export", { version: 1, exported_at: time(Date.now()), daemon: "0.1.0" });
  yield line("channel", { id: channel, connector, name: "Shop on Facebook", created_at: "2026-01-02T08:00:00.000Z" });
  let serial = 0;
  let n = -1;
  for (const { name, texts, at, answered = false } of typeof conversations === "function" ? conversations() : conversations) {
    n += 1;
    const begun = at - 60_000 * (texts.length - 1);
    const contact = id("cus", begun, n);
    const conversation = id("cnv", begun, n);
    const thread = `imported-${ids}-${n}`;
    counts.contact += 1;
    counts.conversation += 1;
    yield line("contact", {
      id: contact, version: 1, name, named_at: time(begun), email: null, phone: null, remark: null,
      identities: [{ channel, external_id: thread }], created_at: time(begun), updated_at: time(begun),
    });
    yield line("conversation", {
      id: conversation, version: 2, channel, thread, contact_id: contact, contact_name: name, status: "open", assignee_id: null, team_id: null,
      labels: [], priority: null, subject: null, snoozed_until: null, unread_count: 1, message_count: texts.length, last_message: null,
      waiting_since: answered ? null : time(begun), answered_up_to: null, customer_acted_at: time(at), delivered_up_to: null, read_up_to: null,
      staff_read_up_to: null, created_at: time(begun), last_activity_at: time(at),
    });
    for (const [m, words] of texts.entries()) {
      const { text, html } = typeof words === "string" ? { text: words, html: null } : words;
      const sent = begun + 60_000 * m;
      const ours = answered && m === texts.length - 1;
      counts.message += 1;
      serial += 1;
      yield line("message", {
        id: id("msg", sent, serial), version: 1, channel, conversation_id: conversation, direction: ours ? "outbound" : "inbound", kind: "message",
        author: ours ? { type: "staff", id: null, name: "Ana" } : { type: "contact", id: contact, name }, external_id: `m_${ids}_${serial}`, part_ids: [], text,
        html, attachments: [], reply_to: null, sent_at: time(sent), order: 0, received_at: time(sent), metadata: {}, edit: null,
        reactions: [], deleted_at: null, delivery: ours ? { state: "sent", at: time(sent), error: null } : null,
      });
    }
  }
  yield line("end", { counts });
}
