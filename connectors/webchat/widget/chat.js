/*! Deskbell website chat. One script, written by hand: no build step, nothing from third parties. */
(() => {
  "use strict";

  // ------------------------------------------------------------------------------------------------ limits

  const MAX_TEXT = 5000; // characters of one message; the server's limit
  const MAX_FILE = 20 * 1024 * 1024; // bytes of one attachment; the server's limit
  const MAX_FILES = 10; // attachments of one message
  const CALL_TIMEOUT = 30_000; // ms until an unanswered call counts as failed
  const STREAM_SILENCE = 45_000; // ms; the server says something at least every 15 s
  const TYPING_EVERY = 4000; // ms between two "is typing"
  const RENEW_AFTER = 3_600_000; // ms after which a page load asks for a fresh token

  // ------------------------------------------------------------------------------------------------ words

  const WORDS = {
    en: {
      title: "Chat with us", close: "Close chat", log: "Messages", write: "Write a message", send: "Send",
      hello: "Hello. Write to us here, a person will answer.",
      attach: "Attach a file", drop: "Drop files to attach them", remove: "Remove {name}", earlier: "Earlier messages",
      sending: "sending", sent: "sent", waiting: "waiting for connection", slow: "too fast, sending again soon",
      failed: "not sent", retry: "Try again", discard: "Delete", edited: "edited", deleted: "This message was deleted",
      offline: "No connection. What you write is kept and goes out when it is back.",
      you: "You", shop: "The shop", big: "{name} is larger than 20 MB", many: "At most 10 files in one message",
      lost: "{name} was not uploaded", gone: "not available", coming: "not here yet", file: "File", save: "Save {name}",
      fresh: { one: "{n} new message", other: "{n} new messages" },
      over: { one: "{n} character too long", other: "{n} characters too long" },
    },
    pl: {
      title: "Napisz do nas", close: "Zamknij czat", log: "Wiadomości", write: "Napisz wiadomość", send: "Wyślij",
      hello: "Dzień dobry. Napisz do nas tutaj, odpowie człowiek.",
      attach: "Dodaj plik", drop: "Upuść pliki, aby je dodać", remove: "Usuń {name}", earlier: "Wcześniejsze wiadomości",
      sending: "wysyłanie", sent: "wysłano", waiting: "czeka na połączenie", slow: "za szybko, zaraz wyślemy ponownie",
      failed: "nie wysłano", retry: "Spróbuj ponownie", discard: "Usuń", edited: "edytowano", deleted: "Ta wiadomość została usunięta",
      offline: "Brak połączenia. To, co napiszesz, zostanie zachowane i wyślemy to, gdy wróci.",
      you: "Ty", shop: "Sklep", big: "{name} jest większy niż 20 MB", many: "Najwyżej 10 plików w jednej wiadomości",
      lost: "Nie udało się przesłać {name}", gone: "niedostępny", coming: "jeszcze nie dotarł", file: "Plik", save: "Zapisz {name}",
      fresh: { one: "{n} nowa wiadomość", few: "{n} nowe wiadomości", many: "{n} nowych wiadomości", other: "{n} nowej wiadomości" },
      over: { one: "o {n} znak za długa", few: "o {n} znaki za długa", many: "o {n} znaków za długa", other: "o {n} znaku za długa" },
    },
    sk: {
      title: "Napíšte nám", close: "Zavrieť chat", log: "Správy", write: "Napíšte správu", send: "Odoslať",
      hello: "Dobrý deň. Napíšte nám sem, odpovie vám človek.",
      attach: "Priložiť súbor", drop: "Pustite súbory sem", remove: "Odstrániť {name}", earlier: "Staršie správy",
      sending: "odosiela sa", sent: "odoslané", waiting: "čaká na pripojenie", slow: "príliš rýchlo, o chvíľu to skúsime znova",
      failed: "neodoslané", retry: "Skúsiť znova", discard: "Zmazať", edited: "upravené", deleted: "Táto správa bola zmazaná",
      offline: "Bez pripojenia. Čo napíšete, zostane uložené a odošle sa, keď sa obnoví.",
      you: "Vy", shop: "Obchod", big: "{name} je väčší ako 20 MB", many: "Najviac 10 súborov v jednej správe",
      lost: "{name} sa nepodarilo nahrať", gone: "nedostupné", coming: "ešte neprišlo", file: "Súbor", save: "Uložiť {name}",
      fresh: { one: "{n} nová správa", few: "{n} nové správy", many: "{n} novej správy", other: "{n} nových správ" },
      over: { one: "o {n} znak dlhšia", few: "o {n} znaky dlhšia", many: "o {n} znaku dlhšia", other: "o {n} znakov dlhšia" },
    },
    cs: {
      title: "Napište nám", close: "Zavřít chat", log: "Zprávy", write: "Napište zprávu", send: "Odeslat",
      hello: "Dobrý den. Napište nám sem, odpoví vám člověk.",
      attach: "Přiložit soubor", drop: "Pusťte soubory sem", remove: "Odebrat {name}", earlier: "Starší zprávy",
      sending: "odesílá se", sent: "odesláno", waiting: "čeká na připojení", slow: "příliš rychle, za chvíli to zkusíme znovu",
      failed: "neodesláno", retry: "Zkusit znovu", discard: "Smazat", edited: "upraveno", deleted: "Tato zpráva byla smazána",
      offline: "Bez připojení. Co napíšete, zůstane uloženo a odešle se, až se obnoví.",
      you: "Vy", shop: "Obchod", big: "{name} je větší než 20 MB", many: "Nejvýše 10 souborů v jedné zprávě",
      lost: "{name} se nepodařilo nahrát", gone: "nedostupné", coming: "ještě nedorazilo", file: "Soubor", save: "Uložit {name}",
      fresh: { one: "{n} nová zpráva", few: "{n} nové zprávy", many: "{n} nové zprávy", other: "{n} nových zpráv" },
      over: { one: "o {n} znak delší", few: "o {n} znaky delší", many: "o {n} znaku delší", other: "o {n} znaků delší" },
    },
    ru: {
      title: "Напишите нам", close: "Закрыть чат", log: "Сообщения", write: "Напишите сообщение", send: "Отправить",
      hello: "Здравствуйте. Напишите нам здесь, вам ответит человек.",
      attach: "Прикрепить файл", drop: "Перетащите файлы сюда", remove: "Убрать {name}", earlier: "Более ранние сообщения",
      sending: "отправляется", sent: "отправлено", waiting: "ждёт соединения", slow: "слишком быстро, скоро отправим ещё раз",
      failed: "не отправлено", retry: "Повторить", discard: "Удалить", edited: "изменено", deleted: "Это сообщение удалено",
      offline: "Нет соединения. Всё, что вы напишете, сохранится и уйдёт, когда оно появится.",
      you: "Вы", shop: "Магазин", big: "{name} больше 20 МБ", many: "Не больше 10 файлов в одном сообщении",
      lost: "Не удалось загрузить {name}", gone: "недоступно", coming: "ещё не пришло", file: "Файл", save: "Сохранить {name}",
      fresh: { one: "{n} новое сообщение", few: "{n} новых сообщения", many: "{n} новых сообщений", other: "{n} нового сообщения" },
      over: { one: "на {n} символ длиннее", few: "на {n} символа длиннее", many: "на {n} символов длиннее", other: "на {n} символа длиннее" },
    },
    de: {
      title: "Schreiben Sie uns", close: "Chat schließen", log: "Nachrichten", write: "Nachricht schreiben", send: "Senden",
      hello: "Guten Tag. Schreiben Sie uns hier, es antwortet ein Mensch.",
      attach: "Datei anhängen", drop: "Dateien hier ablegen", remove: "{name} entfernen", earlier: "Frühere Nachrichten",
      sending: "wird gesendet", sent: "gesendet", waiting: "wartet auf Verbindung", slow: "zu schnell, wird gleich erneut gesendet",
      failed: "nicht gesendet", retry: "Erneut versuchen", discard: "Löschen", edited: "bearbeitet", deleted: "Diese Nachricht wurde gelöscht",
      offline: "Keine Verbindung. Was Sie schreiben, bleibt erhalten und wird gesendet, sobald sie zurück ist.",
      you: "Sie", shop: "Der Laden", big: "{name} ist größer als 20 MB", many: "Höchstens 10 Dateien in einer Nachricht",
      lost: "{name} wurde nicht hochgeladen", gone: "nicht verfügbar", coming: "noch nicht da", file: "Datei", save: "{name} speichern",
      fresh: { one: "{n} neue Nachricht", other: "{n} neue Nachrichten" },
      over: { one: "{n} Zeichen zu lang", other: "{n} Zeichen zu lang" },
    },
  };

  /** The first language of `wanted` that we speak: the page's own before the reader's. */
  function chooseLanguage(wanted) {
    const primary = (tag) => String(tag || "").toLowerCase().split("-")[0];
    return wanted.map(primary).find((language) => Object.hasOwn(WORDS, language)) || "en";
  }

  /** `say("over", {n: 3})` in one language, with that language's plural where there are several forms. */
  function speaker(language) {
    const plural = new Intl.PluralRules(language);
    return (key, values = {}) => {
      const entry = WORDS[language][key];
      const form = typeof entry === "string" ? entry : entry[plural.select(values.n)] || entry.other;
      return form.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
    };
  }

  // ------------------------------------------------------------------------------------------------ logic without a page

  /** Splits text into strings and `{href, text}`; only http and https become links. */
  function linkPieces(text) {
    const pieces = [];
    let from = 0;
    for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"'`]+/gi)) {
      let shown = match[0].replace(/[.,;:!?…»”]+$/u, "");
      if (shown.endsWith(")") && !shown.includes("(")) shown = shown.slice(0, -1);
      let url;
      try { url = new URL(shown); } catch { continue; }
      if (url.protocol !== "http:" && url.protocol !== "https:") continue;
      if (match.index > from) pieces.push(text.slice(from, match.index));
      pieces.push({ href: url.href, text: shown });
      from = match.index + shown.length;
    }
    if (from < text.length) pieces.push(text.slice(from));
    return pieces;
  }

  /** How long to wait before attempt number `attempt + 1`, in ms: what the server asked for, else 1 s doubling to 60 s,
   *  with jitter so that a thousand visitors do not come back in the same instant. */
  function pause(attempt, retryAfter, random = Math.random()) {
    if (retryAfter > 0) return Math.min(retryAfter, 600_000) + random * 1000;
    return Math.min(60_000, 1000 * 2 ** Math.min(attempt, 10)) * (0.5 + random / 2);
  }

  /** `Retry-After` in ms: seconds or a date; 0 where it is missing or past. */
  function retryAfterOf(header, now = Date.now()) {
    if (!header) return 0;
    const wait = /^\s*\d+\s*$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
    return wait > 0 ? wait : 0;
  }

  /** Reads Server-Sent Events from chunks of text; calls `onEvent({id, type, data})`. */
  function eventReader(onEvent) {
    let rest = "";
    let event = { id: undefined, type: "message", data: [] };
    return (chunk) => {
      const text = rest + chunk;
      const end = text.endsWith("\r") ? text.length - 1 : text.length;
      const lines = text.slice(0, end).split(/\r\n|\n|\r/);
      rest = lines.pop() + text.slice(end);
      for (const line of lines) {
        if (line === "") {
          if (event.data.length || event.type !== "message") onEvent({ ...event, data: event.data.join("\n") });
          event = { id: event.id, type: "message", data: [] };
          continue;
        }
        const colon = line.indexOf(":");
        if (colon === 0) continue;
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "data") event.data.push(value);
        else if (field === "event") event.type = value;
        else if (field === "id" && !value.includes("\0")) event.id = value;
      }
    };
  }

  /** A storage area that never throws: what the browser refuses to keep is kept until the page goes. */
  function safeBox(area) {
    const memory = new Map();
    return {
      get(key) {
        if (memory.has(key)) return memory.get(key);
        try { return area.getItem(key); } catch { return null; }
      },
      set(key, value) {
        try { area.setItem(key, value); memory.delete(key); } catch { memory.set(key, value); }
      },
      drop(key) {
        memory.delete(key);
        try { area.removeItem(key); } catch { /* it was never kept */ }
      },
      keys() {
        const keys = new Set(memory.keys());
        try { for (let at = 0; at < area.length; at += 1) keys.add(area.key(at)); } catch { /* nothing is kept */ }
        return [...keys];
      },
    };
  }

  /** What was written and not yet taken by the server. Each message has a key of its own, so that two tabs never
   *  overwrite each other's. */
  function makeQueue(box, prefix) {
    const read = (key) => {
      try {
        const entry = JSON.parse(box.get(key));
        const sound = typeof entry.client_id === "string" && typeof entry.text === "string" && Array.isArray(entry.attachments);
        return sound ? entry : null;
      } catch { return null; }
    };
    const queue = {
      /** The messages of `owner` (a customer's id, or "" for a stranger) in the order in which they were written. */
      all: (owner) => box.keys().filter((key) => key.startsWith(prefix)).map(read)
        .filter((entry) => entry && entry.owner === owner)
        .sort((a, b) => a.at - b.at || (a.client_id < b.client_id ? -1 : 1)),
      put: (entry) => box.set(prefix + entry.client_id, JSON.stringify(entry)),
      drop: (clientId) => box.drop(prefix + clientId),
      /** A stranger who logs in takes along what was not sent yet. */
      adopt: (owner) => { for (const entry of owner ? queue.all("") : []) queue.put({ ...entry, owner }); },
    };
    return queue;
  }

  /** The messages that the server has told, each once. */
  function makeHistory() {
    let byId = new Map();
    return {
      get: (id) => byId.get(id),
      /** Takes a message; a later version replaces an earlier one, and nothing brings a deleted one back. */
      merge(message) {
        if (!message || typeof message.id !== "string") return;
        if (message.kind && message.kind !== "message") return;
        const known = byId.get(message.id);
        if (known && known.deleted_at && !message.deleted_at) return;
        byId.set(message.id, { ...known, ...message, client_id: message.client_id || known?.client_id });
      },
      has: (clientId) => [...byId.values()].some((message) => message.client_id === clientId),
      all: () => [...byId.values()].sort((a, b) => {
        if (a.sent_at !== b.sent_at) return a.sent_at < b.sent_at ? -1 : 1;
        return a.id < b.id ? -1 : 1;
      }),
      clear() { byId = new Map(); },
    };
  }

  /** A random UUID, also on pages without https, where `crypto.randomUUID` is missing. */
  function newId() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  if (typeof document === "undefined") {
    // Not in a page: the tests look at the parts.
    module.exports = {
      WORDS, chooseLanguage, speaker, linkPieces, pause, retryAfterOf, eventReader, safeBox, makeQueue, makeHistory, newId,
    };
    return;
  }

  // ------------------------------------------------------------------------------------------------ where and who

  const script = document.currentScript;
  const found = script && /^(.*)\/chat\/([^/?#]+)\.js(?:[?#].*)?$/.exec(script.src);
  if (!found) {
    console.error("Deskbell: include the chat as <script src=\"https://your-desk/chat/website.js\" async></script>");
    return;
  }
  const [, base, channel] = found;
  const address = `${base}/chat/${channel}`;
  const marker = `deskbell-chat-${channel}`;
  if (document.getElementById(marker) || window[Symbol.for(marker)]) return; // included twice
  window[Symbol.for(marker)] = true;

  /** Who the page says the visitor is; the server checks the signature. */
  function readIdentity() {
    let claimed = window.deskbell?.identity;
    if (script.dataset.identity) {
      try { claimed = JSON.parse(script.dataset.identity); } catch { console.warn("Deskbell: data-identity is no JSON"); }
    }
    if (!claimed || !claimed.id) return null;
    const { id, name, email, signature } = claimed;
    return { id: String(id), name, email, signature };
  }

  const identity = readIdentity();
  const owner = identity ? identity.id : "";
  const language = chooseLanguage([document.documentElement.lang, ...navigator.languages]);
  const locale = navigator.languages.find((tag) => tag.toLowerCase().split("-")[0] === language) || language;
  const say = speaker(language);

  const area = (name) => { try { return window[name]; } catch { return null; } };
  const kept = safeBox(area("localStorage"));
  const keptInTab = safeBox(area("sessionStorage"));
  const space = `deskbell.${channel}.`;
  const queue = makeQueue(kept, `${space}q.`);
  const history = makeHistory();

  /** Runs `work` in one tab at a time. Without https there are no locks; then two tabs may both send, and the server
   *  knows a message by its client_id. */
  const alone = (name, work) => (navigator.locks ? navigator.locks.request(space + name, work) : work());

  // ------------------------------------------------------------------------------------------------ calls

  class Trouble extends Error {
    constructor(status, retryAfter = 0) {
      super(status ? `the desk answered ${status}` : "no connection");
      this.status = status;
      this.retryAfter = retryAfter;
      // 400, 409, 413, 415, 422: the same again would be refused again.
      this.final = status >= 400 && status < 500 && ![401, 403, 404, 408, 425, 429].includes(status);
    }
  }

  async function request(path, { json, headers, token, signal, ...options } = {}) {
    let answer;
    try {
      answer = await fetch(address + path, {
        ...options,
        ...(json && { method: "POST", body: JSON.stringify(json) }),
        headers: {
          ...headers,
          ...(json && { "Content-Type": "application/json" }),
          ...(token && { Authorization: `Bearer ${token}` }),
        },
        signal: signal || AbortSignal.timeout(CALL_TIMEOUT),
        credentials: "omit",
        cache: "no-store",
      });
    } catch { throw new Trouble(0); }
    if (!answer.ok) throw new Trouble(answer.status, retryAfterOf(answer.headers.get("Retry-After")));
    return answer;
  }

  async function jsonOf(answer) {
    try { return await answer.json(); } catch { throw new Trouble(0); }
  }

  function readSession() {
    try {
      const session = JSON.parse(kept.get(`${space}session`));
      return session && typeof session.token === "string" && session.owner === owner ? session : null;
    } catch { return null; }
  }

  /** Opens a session or renews the one there was. An identity that the server refuses leaves the visitor a stranger
   *  rather than without a chat. */
  async function openSession(old) {
    const ways = [];
    if (old && identity) ways.push([old.token, identity]);
    if (old) ways.push([old.token, null]);
    if (identity) ways.push([null, identity]);
    ways.push([null, null]);
    let trouble;
    for (const [token, claimed] of ways) {
      try {
        const answer = await request("/session", { json: claimed ? { identity: claimed } : {}, token });
        const { token: fresh = token, conversation } = await jsonOf(answer);
        if (identity && !claimed && !token) console.warn("Deskbell: the identity was refused; check its signature");
        const session = { token: fresh, conversation: conversation?.id ?? null, owner, at: Date.now() };
        kept.set(`${space}session`, JSON.stringify(session));
        if (old && old.conversation !== session.conversation) forget();
        return session;
      } catch (caught) {
        trouble = caught;
        const refused = caught.status >= 400 && caught.status < 500 && caught.status !== 429;
        if (!refused) break;
      }
    }
    throw trouble;
  }

  let opening = null;

  /** The session; a new one where there is none, or where the server refused `refused`. */
  function session(refused) {
    const now = readSession();
    if (now && now.token !== refused) return Promise.resolve(now);
    opening ??= alone("session", () => {
      const meanwhile = readSession(); // another tab may have been quicker
      return meanwhile && meanwhile.token !== refused ? meanwhile : openSession(meanwhile || strangersSession());
    }).finally(() => { opening = null; });
    return opening;
  }

  /** Who logs in keeps the conversation that was begun as a stranger; one customer's is never handed to another. */
  function strangersSession() {
    try {
      const other = JSON.parse(kept.get(`${space}session`));
      return other && other.owner === "" && typeof other.token === "string" ? other : null;
    } catch { return null; }
  }

  const EXPIRED = [401, 403, 404];

  /** A call as the visitor; a refused token is renewed once. */
  async function call(path, options = {}, expired = EXPIRED) {
    const { token } = await session();
    try {
      return await request(path, { ...options, token });
    } catch (trouble) {
      if (!expired.includes(trouble.status)) throw trouble;
      const renewed = await session(token);
      return request(path, { ...options, token: renewed.token });
    }
  }

  /** Uploads a file with progress, which fetch cannot tell. */
  async function upload(file, onProgress) {
    const attempt = (token) => new Promise((resolve, reject) => {
      const ask = new XMLHttpRequest();
      ask.open("POST", `${address}/attachments`);
      ask.setRequestHeader("Authorization", `Bearer ${token}`);
      ask.responseType = "json";
      ask.upload.onprogress = (event) => { if (event.lengthComputable) onProgress(event.loaded / event.total); };
      ask.onerror = () => reject(new Trouble(0));
      ask.onload = () => {
        const attachment = ask.response;
        if (ask.status < 300 && attachment?.id) resolve(attachment);
        else reject(new Trouble(ask.status, retryAfterOf(ask.getResponseHeader("Retry-After"))));
      };
      const form = new FormData();
      form.append("file", file, file.name);
      ask.send(form);
    });
    const { token } = await session();
    try {
      return await attempt(token);
    } catch (trouble) {
      if (!EXPIRED.includes(trouble.status)) throw trouble;
      return attempt((await session(token)).token);
    }
  }

  // ------------------------------------------------------------------------------------------------ sending

  const doing = new Map(); // client_id → "sending" | "waiting" | "slow", in this tab
  let draining = false;
  let drainAgain = false;
  let drainTimer = 0;
  let sendAttempt = 0;
  let sendNotBefore = 0; // the server asked to wait until then

  /** Sends what is queued, oldest first, one after the other. */
  async function drain() {
    if (draining) { drainAgain = true; return; }
    clearTimeout(drainTimer);
    if (Date.now() < sendNotBefore) {
      for (const entry of queue.all(owner)) if (!doing.has(entry.client_id)) doing.set(entry.client_id, "slow");
      drainTimer = setTimeout(drain, sendNotBefore - Date.now());
      render();
      return;
    }
    draining = true;
    drainAgain = false;
    let wait;
    try { wait = await alone("send", drainNow); } finally { draining = false; }
    if (wait !== undefined) drainTimer = setTimeout(drain, wait);
    else if (drainAgain) drain();
  }

  /** Returns after how many ms to come again; nothing when all is done. */
  async function drainNow() {
    for (;;) {
      const entry = queue.all(owner).find((one) => one.state !== "failed");
      if (!entry) { sendAttempt = 0; return undefined; }
      const clientId = entry.client_id;
      doing.set(clientId, "sending");
      render();
      try {
        const json = { text: entry.text, client_id: clientId };
        if (entry.attachments.length) json.attachment_ids = entry.attachments.map((one) => one.id);
        const message = await jsonOf(await call("/messages", { json }));
        if (!message?.id) throw new Trouble(0);
        sendAttempt = 0;
        history.merge({ ...message, client_id: clientId });
        queue.drop(clientId);
        doing.delete(clientId);
        start();
      } catch (trouble) {
        if (trouble.final) {
          queue.put({ ...entry, state: "failed" });
          doing.delete(clientId);
        } else {
          const mood = trouble.status === 429 ? "slow" : "waiting";
          for (const one of queue.all(owner)) if (one.state !== "failed") doing.set(one.client_id, mood);
          const wait = pause(sendAttempt++, trouble.retryAfter);
          if (trouble.retryAfter) sendNotBefore = Date.now() + wait;
          return wait;
        }
      } finally { render(); }
    }
  }

  /** Something may have become possible again. */
  function wake() {
    if (queue.all(owner).some((entry) => entry.state !== "failed")) drain();
    wakeStream();
  }

  // ------------------------------------------------------------------------------------------------ receiving

  let started = false;
  let listed = false;
  let next = null; // cursor of the earlier messages
  let lastEventId;
  let streamTrouble = false;
  let wakeStream = () => {};

  function forget() {
    history.clear();
    listed = false;
    next = null;
    lastEventId = undefined;
  }

  /** Reads the newest messages anew. */
  async function refresh() {
    const { data, next: cursor } = await jsonOf(await call("/messages"));
    for (const message of data) history.merge(message);
    if (!listed) next = cursor;
    listed = true;
    settle();
  }

  async function earlier() {
    const { data, next: cursor } = await jsonOf(await call(`/messages?cursor=${encodeURIComponent(next)}`));
    for (const message of data) history.merge(message);
    next = cursor;
    render();
  }

  /** What the server has is no longer ours to send: shown once. */
  function settle() {
    for (const entry of queue.all(owner)) {
      if (!history.has(entry.client_id)) continue;
      queue.drop(entry.client_id);
      doing.delete(entry.client_id);
    }
    render();
  }

  /** Begins to listen: one tab holds the stream, the others read when it says that something came. Browsers allow
   *  few connections to one server, and a visitor has many tabs. */
  function start() {
    if (started) return;
    started = true;
    refresh().catch(() => {});
    alone("stream", follow);
  }

  async function follow() {
    for (let attempt = 0; ; attempt += 1) {
      const begun = Date.now();
      let retryAfter = 0;
      try { await readStream(); } catch (trouble) { retryAfter = trouble.retryAfter || 0; }
      if (Date.now() - begun > 10_000) attempt = 0;
      streamTrouble = true;
      render();
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, pause(attempt, retryAfter));
        wakeStream = () => { if (!retryAfter) { clearTimeout(timer); resolve(); } };
      });
      wakeStream = () => {};
    }
  }

  async function readStream() {
    const stop = new AbortController();
    let watchdog = setTimeout(() => stop.abort(), STREAM_SILENCE);
    try {
      const headers = { Accept: "text/event-stream", ...(lastEventId && { "Last-Event-ID": lastEventId }) };
      const answer = await call("/events", { headers, signal: stop.signal });
      if (!lastEventId) await refresh(); // the stream is open: nothing falls between the list and it
      streamTrouble = false;
      render();
      const read = eventReader(onEvent);
      const bytes = answer.body.getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { value, done } = await bytes.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => stop.abort(), STREAM_SILENCE);
        read(decoder.decode(value, { stream: true }));
      }
    } finally {
      clearTimeout(watchdog);
      stop.abort();
    }
  }

  function onEvent(event) {
    if (event.id) lastEventId = event.id;
    if (event.type === "reset") {
      forget();
      refresh().catch(() => {});
    } else if (event.type === "message.created" || event.type === "message.updated") {
      let message;
      try { message = JSON.parse(event.data).data.message; } catch { return; }
      history.merge(message);
      settle();
    } else return;
    kept.set(`${space}tick`, newId());
  }

  let refreshTimer = 0;
  addEventListener("storage", ({ key, newValue }) => {
    if (key === `${space}tick` && started) {
      clearTimeout(refreshTimer);
      refreshTimer = setTimeout(() => refresh().catch(() => {}), 50);
    } else if (key === `${space}read`) render();
    else if (key === `${space}session` && newValue) start();
    else if (key?.startsWith(`${space}q.`)) {
      render();
      if (newValue) drain();
    }
  });
  addEventListener("online", () => { render(); wake(); });
  addEventListener("offline", () => render());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") { render(); wake(); }
  });

  // ------------------------------------------------------------------------------------------------ the page's parts

  /** Makes an element. Foreign text only ever becomes a text node (R02). */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  }

  function icon(path) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  const ICONS = {
    bubble: "M21 12a8 8 0 0 1-8 8H4l2.2-3A8 8 0 1 1 21 12ZM9 12h.01M13 12h.01M17 12h.01",
    bell: "M4 18h16M6 18a6 6 0 0 1 12 0M12 9V6m-2 0h4",
    close: "M6 6l12 12M18 6 6 18",
    clip: "M20 11.5 12 19.4a5 5 0 0 1-7.1-7.1l8.5-8.4a3.3 3.3 0 0 1 4.7 4.7l-8.5 8.4a1.7 1.7 0 0 1-2.4-2.4l7.8-7.7",
    send: "M4 12 20 4l-5 16-3.5-6.5zM11.500 13.500 20 4",
    down: "M12 5v14M6 13l6 6 6-6",
    file: "M14 3H6v18h12V7zM14 3v4h4",
  };

  const SMALL = "(max-width: 480px)";

  const STYLE = `
:host{all:initial;position:fixed;inset:auto 0 0 auto;z-index:2147483000;color-scheme:light dark;
  --panel:#fffefc;--sunk:#f3f1ec;--line:#e3e0d8;--edge:#8d877c;--ink:#1d1c1a;--ink2:#5f5b54;--accent:#0b6b5d;--on-accent:#fff;--out:#e4f1ee;--ring:#c2410c;--on-ring:#fff;--bad:#b42318;
  font:15px/1.45 Inter,"Segoe UI Variable",system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;color:var(--ink)}
@media (prefers-color-scheme:dark){:host{--panel:#1e1d1b;--sunk:#292724;--line:#3b3833;--edge:#8a847a;--ink:#f0ede7;--ink2:#b5afa5;--accent:#4cc0ac;--on-accent:#06211c;--out:#1c3530;--ring:#fb923c;--on-ring:#2a1404;--bad:#f97066}}
@media print{:host{display:none}}
*{box-sizing:border-box;margin:0}
[hidden]{display:none!important}
button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer}
button:disabled{cursor:default}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
svg{width:22px;height:22px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round;display:block}
.said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.launcher{position:fixed;right:20px;bottom:20px;width:56px;height:56px;border-radius:50%;display:grid;place-items:center;background:var(--accent);color:var(--on-accent);box-shadow:0 2px 6px #0003,0 8px 24px #0003}
.launcher svg{width:27px;height:27px}
.launcher:focus-visible{outline-offset:3px}
.badge{position:absolute;top:-3px;right:-3px;min-width:22px;height:22px;padding:0 6px;border-radius:11px;background:var(--ring);color:var(--on-ring);font-size:12px;font-weight:700;line-height:22px;text-align:center;font-variant-numeric:tabular-nums}
.panel{position:fixed;right:20px;bottom:20px;width:384px;height:min(640px,calc(100dvh - 40px));display:flex;flex-direction:column;overflow:hidden;background:var(--panel);border:1px solid var(--line);border-radius:16px;box-shadow:0 4px 12px #0000001f,0 18px 48px #0003}
header{display:flex;align-items:center;gap:10px;padding:10px 10px 10px 18px;border-bottom:1px solid var(--line)}
header svg{color:var(--ring)}
h2{flex:1;min-width:0;font-size:16px;font-weight:600;letter-spacing:-.01em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.round{flex:none;width:40px;height:40px;border-radius:50%;display:grid;place-items:center;color:var(--ink2)}
.round svg{color:inherit}
.round:hover{background:var(--sunk);color:var(--ink)}
.middle{position:relative;flex:1;min-height:0;display:flex}
.scroll{flex:1;overflow-y:auto;overscroll-behavior:contain;padding:14px 16px;display:flex;flex-direction:column}
.scroll:focus-visible{outline-offset:-3px;border-radius:8px}
.hello{margin:auto;max-width:26ch;text-align:center;color:var(--ink2);text-wrap:balance}
.earlier{align-self:center;padding:6px 14px;margin-bottom:6px;border:1px solid var(--line);border-radius:16px;font-size:13px;color:var(--ink2)}
.log{margin-top:auto;display:flex;flex-direction:column;gap:3px}
.day{align-self:center;margin:12px 0 6px;font-size:12px;color:var(--ink2)}
.day::first-letter{text-transform:uppercase}
.turn{display:flex;flex-direction:column;align-items:flex-start;max-width:86%}
.turn.mine{align-self:flex-end;align-items:flex-end}
.turn.first{margin-top:9px}
.who{font-size:12px;font-weight:600;color:var(--ink2);padding:0 4px 3px}
.bubble{max-width:100%;padding:8px 13px;border-radius:14px;background:var(--sunk);white-space:pre-wrap;overflow-wrap:anywhere}
.mine .bubble{background:var(--out)}
.bubble.none{color:var(--ink2);font-style:italic}
.bubble a{color:var(--accent);text-underline-offset:2px}
.quote{border-inline-start:3px solid var(--accent);padding-inline-start:8px;margin-bottom:4px;color:var(--ink2);font-size:13px;display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
.picture{display:block;max-width:100%;border-radius:12px;overflow:hidden;margin-bottom:2px}
.picture canvas{display:block;max-width:100%;max-height:260px;background:var(--sunk)}
.file{display:flex;align-items:center;gap:8px;max-width:100%;min-height:44px;padding:6px 13px 6px 10px;margin-bottom:2px;border:1px solid var(--line);border-radius:12px;text-align:start;overflow-wrap:anywhere}
button.file:hover{background:var(--sunk)}
.file svg{flex:none;color:var(--ink2)}
.file small{display:block;font-size:12px;color:var(--ink2)}
.meta{padding:2px 4px 0;font-size:12px;color:var(--ink2);font-variant-numeric:tabular-nums}
.meta.bad{color:var(--bad)}
.meta button{text-decoration:underline;text-underline-offset:2px;padding:2px 0;font-weight:600}
.reactions{font-size:13px;margin:-5px 8px 0;padding:0 7px;border:1px solid var(--line);border-radius:11px;background:var(--panel)}
.jump{position:absolute;bottom:10px;left:50%;translate:-50% 0;display:flex;align-items:center;gap:6px;min-height:34px;padding:5px 14px;border-radius:17px;background:var(--accent);color:var(--on-accent);font-size:13px;font-weight:600;box-shadow:0 2px 8px #0003;white-space:nowrap}
.jump svg{width:16px;height:16px}
.notice{padding:6px 18px;font-size:13px;color:var(--ink2);background:var(--sunk)}
.notice:empty{display:none}
.chips{list-style:none;padding:8px 12px 0;display:flex;flex-wrap:wrap;gap:6px;max-height:120px;overflow-y:auto}
.chips li{display:flex;align-items:center;max-width:100%;padding-inline-start:10px;border:1px solid var(--line);border-radius:10px;font-size:13px}
.chips span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.chips .bad{color:var(--bad)}
.chips progress{width:54px;height:6px;margin-inline-start:8px;accent-color:var(--accent)}
.chips .retry{margin-inline-start:8px;text-decoration:underline;font-weight:600;white-space:nowrap}
.chips .round{width:32px;height:32px}.chips svg{width:15px;height:15px}
form{display:flex;align-items:flex-end;gap:4px;margin:10px 12px 12px;padding:3px;border:1px solid var(--edge);border-radius:14px;background:var(--panel)}
form:focus-within{border-color:var(--accent);box-shadow:0 0 0 1px var(--accent)}
textarea{flex:1;min-width:0;min-height:40px;max-height:132px;padding:9px 4px;border:0;outline:0;resize:none;background:none;color:inherit;font:inherit;font-size:16px;line-height:22px}
textarea:focus-visible{outline:0}
textarea::placeholder{color:var(--ink2);opacity:1}
.send{border-radius:11px;background:var(--accent);color:var(--on-accent)}
.send:hover:not(:disabled){background:var(--accent);color:var(--on-accent)}
.send:disabled{background:var(--sunk);color:var(--ink2)}
.dropping .middle::after{content:attr(data-drop);position:absolute;inset:8px;display:grid;place-items:center;border:2px dashed var(--accent);border-radius:12px;background:var(--panel);color:var(--ink);font-weight:600}
@media ${SMALL}{.panel{inset:0;width:auto;height:auto;border:0;border-radius:0}.round{width:44px;height:44px}textarea{min-height:44px;padding:11px 4px}.chips .round{width:44px;height:44px}}
@media (prefers-reduced-motion:no-preference){.panel{animation:open .14s ease-out}@keyframes open{from{opacity:0;transform:translateY(8px)}}.launcher,.round,.send{transition:background-color .12s,color .12s}}
@media (forced-colors:active){.launcher,.send,.badge,.bubble{border:1px solid}}
`;

  const badge = make("span", { class: "badge", "aria-hidden": "true", hidden: true });
  const launcher = make("button", { class: "launcher", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => open(true) }, icon(ICONS.bubble), badge);
  const earlierButton = make("button", { class: "earlier", type: "button", hidden: true, onclick: () => showEarlier() }, say("earlier"));
  const hello = make("p", { class: "hello" }, say("hello"));
  const log = make("div", { class: "log", role: "log", "aria-live": "off", "aria-relevant": "additions", "aria-label": say("log") });
  const scroll = make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": say("log"), onscroll: () => onScroll() }, earlierButton, hello, log);
  const jump = make("button", { class: "jump", type: "button", hidden: true, onclick: () => toBottom() }, icon(ICONS.down), make("span"));
  const notice = make("p", { class: "notice", role: "status" });
  const chips = make("ul", { class: "chips", hidden: true });
  const picker = make("input", { type: "file", multiple: true, hidden: true, onchange: () => { attach(picker.files); picker.value = ""; } });
  const field = make("textarea", { rows: "1", placeholder: say("write"), "aria-label": say("write"), enterkeyhint: "send", dir: "auto" });
  const sendButton = make("button", { class: "round send", type: "submit", "aria-label": say("send"), title: say("send") }, icon(ICONS.send));
  const form = make("form", {},
    make("button", { class: "round", type: "button", "aria-label": say("attach"), title: say("attach"), onclick: () => picker.click() }, icon(ICONS.clip)),
    picker, field, sendButton);
  const title = script.dataset.title || say("title");
  const panel = make("section", { class: "panel", role: "dialog", "aria-label": title, hidden: true },
    make("header", {}, icon(ICONS.bell), make("h2", { dir: "auto" }, title),
      make("button", { class: "round", type: "button", "aria-label": say("close"), title: say("close"), onclick: () => close() }, icon(ICONS.close))),
    make("div", { class: "middle", "data-drop": say("drop") }, scroll, jump),
    notice, chips, form);

  const host = make("deskbell-chat", { id: marker, lang: language });
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet]; // no style element: works where the page's policy forbids inline styles
  const news = make("p", { class: "said", role: "status" });
  root.append(make("section", { "aria-label": title }, launcher, news, panel));

  // ------------------------------------------------------------------------------------------------ showing

  const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
  const longDay = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
  const relativeDay = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  const moment = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });

  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);

  function dayName(time) {
    const ago = Math.round((midnight(Date.now()) - midnight(time)) / 86_400_000);
    return ago === 0 || ago === 1 ? relativeDay.format(-ago, "day") : longDay.format(time);
  }

  function sizeName(bytes) {
    const [unit, value] = bytes < 1000 ? ["byte", bytes] : bytes < 1_000_000 ? ["kilobyte", bytes / 1000] : ["megabyte", bytes / 1_000_000];
    return new Intl.NumberFormat(locale, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
  }

  /** What stands in the list, from the oldest: the server's messages with what it refused where it happened, then what
   *  is still to be sent. */
  function lines() {
    const told = history.all().map((message) => ({
      key: message.client_id || message.id, mine: message.direction === "inbound",
      who: message.direction === "inbound" ? "" : message.author?.name || say("shop"),
      at: Date.parse(message.sent_at) || Date.now(), text: message.text, edited: Boolean(message.edited_at),
      deleted: Boolean(message.deleted_at), attachments: message.attachments || [],
      emoji: (message.reactions || []).map((one) => one.emoji).join(" "),
      quote: message.reply_to ? history.get(message.reply_to)?.text : null, state: "",
    }));
    const ours = queue.all(owner).filter((entry) => !history.has(entry.client_id)).map((entry) => ({
      key: entry.client_id, mine: true, who: "", at: entry.at, text: entry.text, attachments: entry.attachments, emoji: "",
      state: entry.state === "failed" ? "failed" : doing.get(entry.client_id) || "waiting", entry,
    }));
    const lastMine = told.findLast((line) => line.mine);
    if (lastMine) lastMine.state = "sent";
    const failed = ours.filter((line) => line.state === "failed");
    const all = [...told, ...failed].sort((a, b) => a.at - b.at).concat(ours.filter((line) => line.state !== "failed"));
    all.forEach((line, at) => {
      const before = all[at - 1];
      const after = all[at + 1];
      const near = (one) => one && one.mine === line.mine && one.who === line.who;
      line.newDay = !before || midnight(before.at) !== midnight(line.at);
      line.first = !near(before) || line.newDay;
      const sameMinute = near(after) && Math.floor(after.at / 60_000) === Math.floor(line.at / 60_000);
      line.timed = !sameMinute || Boolean(line.state);
    });
    return all;
  }

  const shown = new Map(); // key → {signature, node}

  /** Brings the list up to date, touching only what has changed, so that nothing is read out twice. */
  function show(all) {
    const wanted = [];
    for (const line of all) {
      if (line.newDay) wanted.push([`day ${midnight(line.at)}`, dayName(line.at), () => make("div", { class: "day" }, dayName(line.at))]);
      const { entry, ...seen } = line;
      wanted.push([line.key, JSON.stringify(seen), () => turn(line)]);
    }
    const keys = new Set(wanted.map(([key]) => key));
    for (const [key, { node }] of shown) if (!keys.has(key)) { node.remove(); shown.delete(key); }
    let place = log.firstChild;
    for (const [key, signature, build] of wanted) {
      let known = shown.get(key);
      if (known?.signature !== signature) {
        const node = build();
        if (known) {
          const focused = known.node.contains(root.activeElement);
          if (place === known.node) place = node;
          known.node.replaceWith(node);
          if (focused) field.focus();
        }
        known = { signature, node };
        shown.set(key, known);
      }
      if (known.node === place) place = place.nextSibling;
      else log.insertBefore(known.node, place);
    }
  }

  function turn(line) {
    const node = make("div", { class: `turn${line.mine ? " mine" : ""}${line.first ? " first" : ""}` });
    if (line.mine) node.append(make("span", { class: "said" }, `${say("you")}: `));
    else if (line.first) node.append(make("div", { class: "who", dir: "auto" }, line.who));
    if (line.deleted) node.append(make("div", { class: "bubble none" }, say("deleted")));
    else {
      for (const attachment of line.attachments) node.append(attachmentNode(attachment));
      if (line.text) {
        const bubble = make("div", { class: "bubble", dir: "auto" });
        if (line.quote) bubble.append(make("div", { class: "quote" }, line.quote));
        for (const piece of linkPieces(line.text)) {
          bubble.append(typeof piece === "string" ? piece
            : make("a", { href: piece.href, title: piece.href, target: "_blank", rel: "noopener noreferrer nofollow" }, piece.text));
        }
        node.append(bubble);
      }
      if (line.emoji) node.append(make("div", { class: "reactions" }, line.emoji));
    }
    if (line.timed || line.edited) node.append(metaNode(line));
    return node;
  }

  function metaNode(line) {
    const parts = [];
    if (line.state !== "failed") parts.push(make("time", { datetime: new Date(line.at).toISOString(), title: moment.format(line.at) }, clock.format(line.at)));
    if (line.edited) parts.push(say("edited"));
    if (line.state) parts.push(say(line.state));
    if (line.state === "failed") {
      parts.push(make("button", { type: "button", onclick: () => { queue.put({ ...line.entry, state: "queued" }); drain(); } }, say("retry")));
      parts.push(make("button", { type: "button", onclick: () => { queue.drop(line.key); render(); } }, say("discard")));
    }
    const meta = make("div", { class: `meta${line.state === "failed" ? " bad" : ""}` });
    parts.forEach((part, at) => meta.append(...(at ? [" · ", part] : [part])));
    return meta;
  }

  // ------------------------------------------------------------------------------------------------ attachments that came

  const pictures = new Map(); // attachment id → element, so that a picture is fetched once

  async function bytesOf(attachment) {
    const answer = await call(`/attachments/${encodeURIComponent(attachment.id)}`, {}, [401]);
    try { return await answer.blob(); } catch { throw new Trouble(0); }
  }

  function attachmentNode(attachment) {
    const name = attachment.name || attachment.title || say("file");
    if (attachment.state && attachment.state !== "stored") {
      return fileNode(attachment, name, say(attachment.state === "pending" ? "coming" : "gone"));
    }
    if (!attachment.id || !["image", "sticker", "audio", "video", "file"].includes(attachment.kind)) {
      return fileNode(attachment, name, "");
    }
    const size = attachment.size ? sizeName(attachment.size) : "";
    if (attachment.kind !== "image" && attachment.kind !== "sticker") return fileNode(attachment, name, size, true);
    let node = pictures.get(attachment.id);
    if (!node) {
      node = fileNode(attachment, name, size, true);
      const known = node;
      pictures.set(attachment.id, known);
      drawPicture(attachment, name).then((picture) => {
        pictures.set(attachment.id, picture);
        const stick = nearBottom;
        if (known.isConnected) known.replaceWith(picture);
        if (stick) toBottom();
      }, () => pictures.delete(attachment.id)); // it stays a file
    }
    return node;
  }

  /** A picture is painted, not linked: a canvas needs no leave from the page's policy, and runs nothing. */
  async function drawPicture(attachment, name) {
    const bitmap = await createImageBitmap(await bytesOf(attachment));
    const scale = Math.min(1, 640 / bitmap.width, 780 / bitmap.height);
    const canvas = make("canvas", { role: "img", "aria-label": name });
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return make("button", { class: "picture", type: "button", title: say("save", { name }), onclick: () => save(attachment, name) }, canvas);
  }

  function fileNode(attachment, name, detail, canSave = false) {
    const words = make("span", { dir: "auto" }, name, detail ? make("small", {}, detail) : null);
    return canSave
      ? make("button", { class: "file", type: "button", title: say("save", { name }), onclick: () => save(attachment, name) }, icon(ICONS.file), words)
      : make("div", { class: "file" }, icon(ICONS.file), words);
  }

  /** Always saved, never opened: a customer's page must not run what somebody sent. */
  async function save(attachment, name) {
    try {
      const blob = new Blob([await bytesOf(attachment)], { type: "application/octet-stream" });
      const url = URL.createObjectURL(blob);
      make("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch { tell(`${name}: ${say("gone")}`); }
  }

  // ------------------------------------------------------------------------------------------------ attachments to send

  let uploads = []; // {file, name, progress, state: "loading" | "done" | "failed", attachment}

  function attach(files) {
    tell("");
    for (const file of files) {
      const name = file.name || say("file");
      if (uploads.length >= MAX_FILES) { tell(say("many")); break; }
      if (file.size > MAX_FILE) { tell(say("big", { name })); continue; }
      const one = { file, name, progress: 0, state: "loading", attachment: null };
      uploads.push(one);
      begin(one);
    }
    showUploads();
    field.focus();
  }

  async function begin(one) {
    one.state = "loading";
    showUploads();
    try {
      one.attachment = await upload(one.file, (progress) => { one.progress = progress; if (one.bar) one.bar.value = progress; });
      one.state = "done";
      start();
    } catch {
      one.state = "failed";
      if (uploads.includes(one)) tell(say("lost", { name: one.name }));
    }
    showUploads();
  }

  function showUploads() {
    chips.hidden = uploads.length === 0;
    chips.replaceChildren(...uploads.map((one) => {
      one.bar = one.state === "loading" ? make("progress", { max: "1", value: String(one.progress), "aria-label": one.name }) : null;
      const failed = one.state === "failed";
      return make("li", {},
        make("span", { dir: "auto", class: failed ? "bad" : null }, one.name), one.bar,
        failed ? make("button", { class: "retry", type: "button", onclick: () => begin(one) }, say("retry")) : null,
        make("button", {
          class: "round", type: "button", "aria-label": say("remove", { name: one.name }),
          onclick: () => { uploads = uploads.filter((other) => other !== one); showUploads(); field.focus(); },
        }, icon(ICONS.close)));
    }));
    showComposer();
  }

  // ------------------------------------------------------------------------------------------------ writing

  let lastWritten = 0;
  let lastTyping = 0;

  function showComposer() {
    const over = [...field.value.trim()].length - MAX_TEXT;
    const empty = !field.value.trim() && uploads.length === 0;
    sendButton.disabled = empty || over > 0 || uploads.some((one) => one.state !== "done");
    if (over > 0) tell(say("over", { n: over }));
    else if (notice.dataset.over) tell("");
    notice.dataset.over = over > 0 ? "yes" : "";
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    keptInTab.set(`${space}draft`, field.value);
  }

  function submit() {
    showComposer();
    if (sendButton.disabled) return;
    const attachments = uploads.map(({ attachment, file, name }) => ({
      id: attachment.id, kind: attachment.kind || "file", name: attachment.name || name, mime_type: attachment.mime_type,
      size: attachment.size ?? file.size, state: attachment.state,
    }));
    lastWritten = Math.max(Date.now(), lastWritten + 1);
    // Kept first, sent then: neither a reload nor a dead line loses it.
    queue.put({ client_id: newId(), text: field.value.trim(), attachments, at: lastWritten, owner, state: "queued" });
    field.value = "";
    uploads = [];
    tell("");
    showUploads();
    render();
    toBottom();
    drain();
  }

  function typing() {
    if (!readSession() || !field.value.trim() || Date.now() - lastTyping < TYPING_EVERY) return;
    lastTyping = Date.now();
    call("/typing", { json: { typing: true } }).catch(() => {}); // a courtesy, not worth a retry
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  field.addEventListener("input", () => { showComposer(); typing(); });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  field.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    attach(event.clipboardData.files);
  });
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  panel.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    panel.classList.add("dropping");
  });
  panel.addEventListener("dragleave", (event) => { if (!panel.contains(event.relatedTarget)) panel.classList.remove("dropping"); });
  panel.addEventListener("drop", (event) => {
    panel.classList.remove("dropping");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    attach(event.dataTransfer.files);
  });

  // ------------------------------------------------------------------------------------------------ open and closed

  let nearBottom = true;
  let below = 0; // messages that came below what is in view

  /** What the status line says by itself when nothing else is to say. */
  let told = "";
  function tell(words) {
    told = words;
    const line = told || (!navigator.onLine || streamTrouble && doingBadly() ? say("offline") : "");
    if (notice.textContent !== line) notice.textContent = line;
  }

  /** A stream that is only just reconnecting is no news; messages that cannot go out are. */
  const doingBadly = () => [...doing.values()].includes("waiting");

  function onScroll() {
    nearBottom = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 48;
    if (nearBottom && below) { below = 0; jump.hidden = true; }
  }

  function toBottom() {
    scroll.scrollTop = scroll.scrollHeight;
    onScroll();
  }

  async function showEarlier() {
    earlierButton.disabled = true;
    const fromEnd = scroll.scrollHeight - scroll.scrollTop;
    log.setAttribute("aria-live", "off");
    try { await earlier(); } catch { tell(say("offline")); }
    scroll.scrollTop = scroll.scrollHeight - fromEnd; // what was read stays where it was
    earlierButton.disabled = false;
    if (earlierButton.hidden) field.focus();
  }

  function render() {
    if (!host.isConnected) return;
    const reading = !panel.hidden && document.visibilityState === "visible";
    const fromShop = history.all().filter((message) => message.direction === "outbound" && !message.deleted_at);
    const mark = kept.get(`${space}read`) || "";
    const newest = fromShop.at(-1)?.sent_at || "";
    const unread = fromShop.filter((message) => message.sent_at > mark).length;
    if (reading && newest > mark) kept.set(`${space}read`, newest);
    showUnread(reading ? 0 : unread);
    if (panel.hidden) return;

    const before = shown.size;
    const stick = nearBottom;
    show(lines());
    hello.hidden = shown.size > 0;
    earlierButton.hidden = !next;
    if (stick) toBottom();
    else if (shown.size > before && unread) {
      below += unread;
      jump.lastChild.textContent = say("fresh", { n: below });
      jump.hidden = false;
    }
    tell(told);
    // What stood there already is not read out; what comes from now on is.
    if (listed || !readSession()) setTimeout(() => log.setAttribute("aria-live", "polite"), 100);
  }

  function showUnread(count) {
    badge.hidden = count === 0;
    badge.textContent = count > 99 ? "99+" : String(count);
    launcher.setAttribute("aria-label", count ? `${title}, ${say("fresh", { n: count })}` : title);
    const line = count && panel.hidden ? say("fresh", { n: count }) : "";
    if (news.textContent !== line) news.textContent = line;
    const plain = document.title.replace(/^\(\d+\+?\) /, "");
    const wanted = count ? `(${badge.textContent}) ${plain}` : plain;
    const ours = launcher.dataset.titled === "yes"; // a page may have a number of its own in its title
    if ((count || ours) && document.title !== wanted) document.title = wanted;
    launcher.dataset.titled = count ? "yes" : "";
  }

  function open(byHand) {
    panel.hidden = false;
    launcher.hidden = true;
    launcher.setAttribute("aria-expanded", "true");
    keptInTab.set(`${space}open`, "yes");
    nearBottom = true;
    fitScreen();
    render();
    showComposer();
    toBottom();
    if (byHand) field.focus();
    connect();
  }

  let connecting = 0;

  /** Opening makes the session where there is none; where that fails it is tried again while the panel is open. */
  function connect(attempt = 0) {
    clearTimeout(connecting);
    if (started || panel.hidden) return;
    session().then(start, (trouble) => {
      connecting = setTimeout(connect, pause(attempt, trouble.retryAfter), attempt + 1);
    });
  }

  function close() {
    panel.hidden = true;
    launcher.hidden = false;
    launcher.setAttribute("aria-expanded", "false");
    keptInTab.drop(`${space}open`);
    launcher.focus();
  }

  panel.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Tab" && matchMedia(SMALL).matches) {
      // It covers the page: the focus must not go behind it.
      const stops = [...panel.querySelectorAll("button:not(:disabled),textarea,[tabindex],a[href]")].filter((one) => one.getClientRects().length);
      const leaving = event.shiftKey ? stops[0] : stops.at(-1);
      if (root.activeElement !== leaving) return;
      event.preventDefault();
      (event.shiftKey ? stops.at(-1) : stops[0]).focus();
    }
  });

  /** On a small screen the panel is as high as what the on-screen keyboard leaves. */
  function fitScreen() {
    const view = window.visualViewport;
    const small = view && matchMedia(SMALL).matches;
    panel.style.height = small ? `${view.height}px` : "";
    panel.style.top = small ? `${view.offsetTop}px` : "";
    panel.style.bottom = small ? "auto" : "";
    panel.setAttribute("aria-modal", String(Boolean(small)));
    if (nearBottom) toBottom();
  }
  window.visualViewport?.addEventListener("resize", fitScreen);
  window.visualViewport?.addEventListener("scroll", fitScreen);

  // ------------------------------------------------------------------------------------------------ beginning

  async function begun() {
    document.body.append(host);
    queue.adopt(owner);
    field.value = keptInTab.get(`${space}draft`) || "";
    render();
    if (keptInTab.get(`${space}open`)) open(false); // it was open on the page before
    if (queue.all(owner).length) drain();
    const known = readSession();
    if (!known) return; // nothing is asked of the server before the visitor asks something
    if (Date.now() - known.at > RENEW_AFTER) await alone("session", () => openSession(known)).catch(() => {});
    start();
  }

  if (document.body) begun();
  else addEventListener("DOMContentLoaded", begun);
})();
