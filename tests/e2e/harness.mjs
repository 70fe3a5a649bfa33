// What every browser test needs: a desk (the real daemon where DESKBELL_BIN names it, and the mock), a shop's website
// on another origin, and a browser that reports what went wrong in its pages.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, createServer as createTcp } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve as resolvePath } from "node:path";

import { chromium } from "playwright-core";

import { startMock } from "./mock.mjs";

/** The desk to test the chat against: the daemon where its binary is given, else the mock. */
export const DESKS = process.env.DESKBELL_BIN ? ["daemon"] : ["mock"];
/** For tests of the desk's own page, which the daemon alone serves: why they are skipped, or false. */
export const WITHOUT_DAEMON = process.env.DESKBELL_BIN ? false : "DESKBELL_BIN does not name the daemon";

export const IDENTITY_SECRET = "invented-secret-of-a-test";
export const APP_SECRET = "invented-app-secret-of-a-test";
export const PAGE_ID = "1029384756";
const BOOTSTRAP = "invented-bootstrap-token-of-a-test-0123456789";

export async function openBrowser({ args = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", ...args,
    ],
  });
}

/**
 * A browser as people have it, with everything that Playwright changes for the sake of tests left as it was: a tab that is
 * not in front is hidden, and its timers are held back.
 */
export async function openBrowserAsItIs({ args = [] } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "deskbell-browser-"));
  const process_ = spawn(process.env.CHROMIUM ?? "/usr/bin/chromium", [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--remote-debugging-port=0", `--user-data-dir=${profile}`, ...args, "about:blank",
  ], { stdio: ["ignore", "ignore", "pipe"] });
  const address = await new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => reject(new Error(`the browser did not start:\n${said}`)), 60_000);
    process_.stderr.on("data", (chunk) => {
      said += chunk;
      const found = /ws:\/\/\S+/.exec(said)?.[0];
      if (found) { clearTimeout(timer); resolve(found); }
    });
  });
  const browser = await chromium.connectOverCDP(address, { noDefaults: true });
  return {
    context: browser.contexts()[0],
    async close() {
      await browser.close();
      const ended = new Promise((resolve) => { process_.on("exit", resolve); });
      process_.kill();
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A port that is free now. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const { port } = server.address();
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

/** Waits until the daemon has printed what is looked for. */
function printedBy(daemon, pattern, seconds) {
  let printed = "";
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready within ${seconds} s:\n${printed}`)), seconds * 1000);
    const look = (chunk) => {
      printed += chunk;
      if (pattern.test(printed)) { clearTimeout(timer); resolve(printed); }
    };
    daemon.stdout.on("data", look);
    daemon.stderr.on("data", look);
    daemon.on("exit", (code) => { clearTimeout(timer); reject(new Error(`the daemon ended with ${code}:\n${printed}`)); });
  });
}

/**
 * The daemon in a directory of its own on a free port: a website chat, and a page on Messenger whose webhooks a test can
 * sign (`seed.mjs`). `before(run)` is called before it starts, with what runs a command of it in its directory.
 */
async function startDaemon({ allowedOrigins = [], config = "" }) {
  const directory = await mkdtemp(join(tmpdir(), "deskbell-e2e-"));
  // With a list of origins the daemon's own pages may use the chat only at its `public_url`, which has the port in it.
  const address = `127.0.0.1:${await freePort()}`;
  const origins = allowedOrigins.length ? `allowed_origins = ${JSON.stringify(allowedOrigins)}\n` : "";
  await writeFile(join(directory, "deskbell.toml"), `listen = "${address}"
public_url = "http://${address}"
data_dir = "data"

[auth]
bootstrap_token = "${BOOTSTRAP}"

[[channels]]
id = "website"
connector = "webchat"
name = "Website chat"
identity_secret = "${IDENTITY_SECRET}"
${origins}
[[channels]]
id = "shop-page"
connector = "messenger"
name = "Shop on Facebook"
api_base = "http://127.0.0.1:9"
catch_up = false
app_id = "4242424242"
app_secret = "${APP_SECRET}"
page_id = "${PAGE_ID}"
page_access_token = "invented-page-token"
verify_token = "invented-verify-token"
${config}`);
  const binary = resolvePath(process.env.DESKBELL_BIN);
  let daemon;
  let setupUrl = null;
  const start = async () => {
    daemon = spawn(binary, ["serve"], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
    const printed = await printedBy(daemon, /\bis ready\b[\s\S]*Desk\s+http\S+\s[\s\S]*Channel/, 60);
    setupUrl = /http:\/\/127\.0\.0\.1:\d+\/setup\?token=\S+/.exec(printed)?.[0] ?? setupUrl;
  };
  const end = async (signal) => {
    const ended = new Promise((resolve) => { daemon.on("exit", resolve); });
    daemon.kill(signal);
    await ended;
  };
  await start();
  const desk = {
    kind: "daemon",
    token: BOOTSTRAP,
    origin: `http://${address}`,
    directory,
    get setupUrl() { return setupUrl; },
    get pid() { return daemon.pid; },
    /** As if the power went: nothing is told. */
    kill: () => end("SIGKILL"),
    start,
    /** Runs a command of the daemon's beside it: what it printed. */
    run: (...words) => new Promise((resolve, reject) => {
      const command = spawn(binary, words, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
      const out = [];
      command.stdout.on("data", (chunk) => out.push(chunk));
      command.stderr.on("data", (chunk) => out.push(chunk));
      command.on("exit", (code) => (code === 0 ? resolve(Buffer.concat(out).toString()) : reject(new Error(`${words.join(" ")}: ${code}\n${Buffer.concat(out)}`))));
    }),
    async stop() {
      if (daemon.exitCode === null && daemon.signalCode === null) await end("SIGTERM");
      await rm(directory, { recursive: true, force: true });
    },
  };
  return Object.assign(desk, apiOf(desk));
}

/** What staff do, by the API and with every right. */
function apiOf(desk) {
  const headers = { Authorization: `Bearer ${BOOTSTRAP}`, "Content-Type": "application/json" };
  const api = {
    async ask(method, path, body, more = {}) {
      const answer = await fetch(`${desk.origin}/api/v1/${path}`, { method, headers: { ...headers, ...more }, body: body === undefined ? undefined : JSON.stringify(body) });
      const text = await answer.text();
      return { status: answer.status, body: text ? JSON.parse(text) : null };
    },
    async get(path) {
      const { status, body } = await api.ask("GET", path);
      if (status !== 200) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
      return body;
    },
    /** The newest messages of all channels. */
    feed: async () => (await api.get("feed?limit=200")).data,
    timesStored: async (text) => (await api.feed()).filter((message) => message.text === text).length,
    /** The stored message with these words, waited for. */
    message: (text) => eventually(async () => (await api.feed()).find((message) => message.text === text), `a message ${JSON.stringify(text)}`),
    /** Answers in the conversation in which these words were written. */
    async answer(words, text, more = {}) {
      const { conversation_id: id } = await api.message(words);
      return api.ask("POST", `conversations/${id}/messages`, { text, ...more }, { "Idempotency-Key": randomUUID() });
    },
  };
  return api;
}

/** Asks until the answer is truthy, for 30 s at the most. */
export async function eventually(ask, what, seconds = 30) {
  const until = Date.now() + seconds * 1000;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > until) throw new Error(`after ${seconds} s there is still not ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

export const startDesk = async (kind, options = {}) => {
  if (kind !== "mock") return startDaemon(options);
  const desk = await startMock(options);
  return Object.assign(desk, apiOf(desk));
};

/**
 * The desk behind a line that can be cut, for all that the browser has open: a worker's stream, too. Give this instead of
 * the desk to whoever is to lose the connection.
 */
export async function lineTo(desk) {
  const { port } = new URL(desk.origin);
  const open = new Set();
  let whole = true;
  const proxy = createTcp((near) => {
    if (!whole) return near.destroy();
    const far = connect({ port: Number(port), host: "127.0.0.1" });
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.on("error", () => {});
      one.on("close", () => { open.delete(one); other.destroy(); });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise((resolve) => { proxy.listen(0, "127.0.0.1", resolve); });
  return Object.assign(Object.create(desk), {
    origin: `http://127.0.0.1:${proxy.address().port}`,
    cut() {
      whole = false;
      for (const one of open) one.destroy();
    },
    mend() { whole = true; },
    async close() {
      this.cut();
      await new Promise((resolve) => { proxy.close(resolve); });
    },
  });
}

/** A shop's website on an origin of its own, with the strictest policy under which the chat has to work. */
export async function startShop() {
  const shop = { html: "", policy: "" };
  const server = createServer((_, answer) => {
    answer.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...(shop.policy && { "Content-Security-Policy": shop.policy }) });
    answer.end(shop.html);
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  shop.origin = `http://127.0.0.1:${server.address().port}`;
  /** Puts the desk's chat on the shop's page. */
  shop.embed = (desk, attributes = "") => {
    shop.policy = `default-src 'none'; script-src ${desk.origin}; connect-src ${desk.origin}; require-trusted-types-for 'script'; trusted-types 'none'`;
    shop.html = `<!doctype html><html lang="en"><head><title>A shop</title></head><body><main><h1>A shop</h1></main><script src="${desk.origin}/chat/website.js" ${attributes}></script></body></html>`;
  };
  shop.stop = () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); });
  return shop;
}

/** A page that keeps what went wrong in it: errors, and violations of the page's policy. */
export async function openPage(context, url) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (/Content Security Policy|violates|TrustedHTML/i.test(message.text())) wrong.push(`policy: ${message.text()}`);
  });
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.wrong = wrong;
  if (url) await page.goto(url);
  return page;
}

/** The chat's parts on a page. */
export const chatOf = (page) => ({
  launcher: page.locator("deskbell-chat .launcher"),
  panel: page.locator("deskbell-chat .panel"),
  field: page.locator("deskbell-chat textarea"),
  log: page.locator("deskbell-chat .log"),
  turns: page.locator("deskbell-chat .turn"),
  notice: page.locator("deskbell-chat .notice"),
  async open() { await this.launcher.click(); },
  async say(text) { await this.field.fill(text); await this.field.press("Enter"); },
});
