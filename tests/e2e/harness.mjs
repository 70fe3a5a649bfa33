// What every browser test needs: a desk (the real daemon where DESKBELL_BIN names it, and the mock), a shop's website
// on another origin, and a browser that reports what went wrong in its pages.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve as resolvePath } from "node:path";

import { chromium } from "playwright-core";

import { startMock } from "./mock.mjs";

/** The desk to test: the daemon where its binary is given, else the mock. */
export const DESKS = process.env.DESKBELL_BIN ? ["daemon"] : ["mock"];

export const IDENTITY_SECRET = "invented-secret-of-a-test";

export async function openBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
}

/** A port that is free now. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const { port } = server.address();
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}

/** The daemon in a directory of its own on a free port. */
async function startDaemon({ allowedOrigins = [] }) {
  const directory = await mkdtemp(join(tmpdir(), "deskbell-e2e-"));
  // With a list of origins the daemon's own pages may use the chat only at its `public_url`, which has the port in it.
  const address = `127.0.0.1:${await freePort()}`;
  const origins = allowedOrigins.length ? `allowed_origins = ${JSON.stringify(allowedOrigins)}\n` : "";
  await writeFile(join(directory, "deskbell.toml"), `listen = "${address}"\npublic_url = "http://${address}"\ndata_dir = "data"\n\n[[channels]]\nid = "website"\nconnector = "webchat"\nname = "Website chat"\nidentity_secret = "${IDENTITY_SECRET}"\n${origins}`);
  const daemon = spawn(resolvePath(process.env.DESKBELL_BIN), ["serve"], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  const setupUrl = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no set-up link within 30 s:\n${printed}`)), 30_000);
    const look = (chunk) => {
      printed += chunk;
      const link = /http:\/\/127\.0\.0\.1:\d+\/setup\?token=\S+/.exec(printed)?.[0];
      if (link) { clearTimeout(timer); resolve(link); }
    };
    daemon.stdout.on("data", look);
    daemon.stderr.on("data", look);
    daemon.on("exit", (code) => { clearTimeout(timer); reject(new Error(`the daemon ended with ${code}:\n${printed}`)); });
  });
  return {
    kind: "daemon",
    origin: new URL(setupUrl).origin,
    setupUrl,
    printed: () => printed,
    async stop() {
      const ended = new Promise((resolve) => { daemon.on("exit", resolve); });
      daemon.kill("SIGTERM");
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export const startDesk = (kind, options = {}) => (kind === "mock" ? startMock(options) : startDaemon(options));

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
