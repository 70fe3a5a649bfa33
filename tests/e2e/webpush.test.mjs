// Web Push as people have it: a real Firefox, which subscribes at a push service of ours, and the daemon, which sends to it.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";

import puppeteer from "puppeteer-core";

import { PASSWORD, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, startDesk } from "./harness.mjs";
import { startPushService } from "./pushservice.mjs";
import { deliver, written } from "./seed.mjs";

const FIREFOX = [process.env.FIREFOX, "/usr/bin/firefox-esr", "/usr/bin/firefox", "/snap/bin/firefox"].find((path) => path && existsSync(path));
const SKIP = WITHOUT_DAEMON || (FIREFOX ? false : "there is no Firefox; FIREFOX=… names one");

describe("web push", { skip: SKIP, timeout: 900_000 }, () => {
  let push;
  let desk;
  let browser;
  let ana;
  let page;
  let customers = 0;

  before(async () => {
    push = await startPushService();
    // The push service is on this machine, which the daemon's guard does not let it call unless its operator says so.
    desk = await startDesk("daemon", { config: "\n[hooks]\nallow_private_addresses = true\n" });
    ana = await staff(desk);
    browser = await puppeteer.launch({
      browser: "firefox",
      executablePath: FIREFOX,
      headless: true,
      extraPrefsFirefox: {
        "dom.push.serverURL": `${push.webSocket}/`,
        // Browsers that are driven do not connect to a push service of themselves.
        "dom.push.connection.enabled": true,
        "dom.push.testing.allowInsecureServerURL": true,
        "permissions.default.desktop-notification": 1,
        // There is no notification server here: the browser shows them itself.
        "alerts.useSystemBackend": false,
      },
    });
    page = await browser.newPage();
    await page.goto(`${desk.origin}/signin`);
    await page.locator("input[type=email]").fill(ana.email);
    await page.locator("input[type=password]").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.waitForSelector("html[data-hearing]", { timeout: 60_000 });
    await page.goto(`${desk.origin}/desk/settings/devices`);
    await button("Turn on notifications").click();
    await page.waitForFunction(() => document.body.innerText.includes("Notifications are on."), { timeout: 60_000 });
  });
  after(async () => {
    await browser?.close();
    await Promise.all([desk?.stop(), push?.stop()]);
  });

  const button = (words) => page.locator(`::-p-xpath(//button[contains(., "${words}")])`);
  const standing = () => page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    return (await registration.getNotifications()).map(({ title, body, tag }) => ({ title, body, tag }));
  });
  const shows = (count, seconds = 60) => eventually(async () => {
    const all = await standing();
    return all.length === count && all;
  }, `${count} notifications`, seconds);
  /** A new customer writes; gives their conversation. */
  const writes = async (text) => {
    customers += 1;
    await deliver(desk, written(700_000 + customers, text));
    return (await desk.message(text)).conversation_id;
  };
  const attempts = async (conversation) => {
    const { data } = await desk.get(`bell?conversation=${conversation}`);
    return data.flatMap((ring) => ring.attempts).filter(({ device }) => device === "web-push");
  };
  const resolve = (id) => desk.ask("PATCH", `conversations/${id}`, { status: "resolved" });
  const everybodyIsAnswered = async () => {
    const open = (await desk.get("conversations?status=open&limit=200")).data;
    await Promise.all(open.map(({ id }) => resolve(id)));
    await shows(0);
  };

  test("o07 the browser subscribed with the daemon's own key, at the push service that it names", async () => {
    const { key } = await desk.get("push-key");
    assert.deepEqual([...push.subscriptions.values()].map((one) => one.key.replace(/=+$/, "")), [key]);
    const devices = (await desk.get("devices?user=all")).data;
    assert.deepEqual(devices.map(({ kind, user_id }) => [kind, user_id]), [["web-push", ana.id]]);
    assert.ok(!JSON.stringify(devices).includes("wpush"), "nobody is told the address that rings it");
  });

  test("f34 with no desk open a message is a notification, which the ledger knows to be shown", async () => {
    await page.goto(`${desk.origin}/docs/problems`);
    const id = await writes("Is my parcel on its way?");
    const [one] = await shows(1);
    assert.equal(one.tag, id);
    assert.match(one.body, /Is my parcel/);
    assert.match(one.title, /Shop on Facebook/);
    await eventually(async () => (await attempts(id)).some(({ result }) => result === "shown"), "a line that it was shown", 60);
    const told = push.posts.at(-1);
    assert.equal(told.status, 201, told.why);
    assert.equal(told.headers.urgency, "high");
    // Writing again is the same notification.
    await deliver(desk, written(700_000 + customers, "Hello?"));
    await desk.message("Hello?");
    await writes("Somebody else");
    await shows(2);
  });

  test("f36 taken by somebody it goes from the browser", async () => {
    const open = (await desk.get("bell?state=ringing")).data.filter((ring) => ring.conversation_id);
    assert.equal(open.length, 2);
    const before = Date.now();
    for (const { id } of open) assert.equal((await desk.ask("POST", `bell/${id}/ack`)).status, 200);
    await shows(0);
    assert.ok(Date.now() - before < 30_000);
    await everybodyIsAnswered();
  });

  test("f34 a push service that is busy or broken is asked again, and what it took is shown once", async () => {
    for (const answer of [{ status: 429, headers: { "Retry-After": "1" } }, { status: 500 }]) {
      push.answers.push(answer);
      const id = await writes(`After ${answer.status}`);
      await shows(1, 120);
      await eventually(async () => (await attempts(id)).some(({ result }) => result === "shown"), "a line that it was shown", 60);
      await everybodyIsAnswered();
    }
  });

  test("o08 a subscription that is gone is no device any more, and the ledger says so", async () => {
    for (const one of push.subscriptions.values()) one.gone = true;
    const id = await writes("Nobody's browser");
    await eventually(async () => (await attempts(id)).some(({ result }) => result === "expired"), "a line that it is gone", 60);
    await eventually(async () => (await desk.get("devices?user=all")).data.length === 0, "no device", 60);
    const asked = push.posts.filter(({ status }) => status === 410).length;
    await writes("Nobody's browser again");
    await new Promise((done) => { setTimeout(done, 3_000); });
    assert.equal(push.posts.filter(({ status }) => status === 410).length, asked, "it is not asked again");
  });
});
