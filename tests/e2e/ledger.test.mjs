// The bell's ledger as the desk shows it, and the bell of a closed desk: the worker, notifications, devices.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

import { deskPage, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, openBrowser, openPage, startDesk } from "./harness.mjs";
import { visitor } from "./seed.mjs";

/** A key of the kind that a daemon tells browsers. */
async function pushKey() {
  const pair = await webcrypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
  return Buffer.from(await webcrypto.subtle.exportKey("raw", pair.publicKey)).toString("base64url");
}

/** A browser that keeps what it is given: only such a one shows notifications. */
async function openKeeping(desk, person) {
  const profile = await mkdtemp(join(tmpdir(), "deskbell-keeping-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    permissions: ["notifications"],
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  await context.addCookies(person.state.cookies);
  const page = await openPage(context);
  // Known as a device, as it would be after somebody has turned notifications on.
  const device = { id: "dev_0000000000001", user: person.id, name: "Chromium" };
  await page.route("**/api/v1/devices?*", (route) => route.fulfill({ json: { data: [device], next: null } }));
  await page.goto(`${desk.origin}/`);
  await page.locator("html[data-hearing]").waitFor();
  await page.evaluate((known) => new Promise((resolve, reject) => {
    const asked = indexedDB.open("deskbell", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("device");
    asked.onerror = reject;
    asked.onsuccess = () => {
      const change = asked.result.transaction("device", "readwrite");
      change.objectStore("device").put(known, "this");
      change.oncomplete = () => { asked.result.close(); resolve(); };
    };
  }), device);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
  const cdp = await context.newCDPSession(page);
  const registrations = new Map();
  cdp.on("ServiceWorker.workerRegistrationUpdated", (event) => {
    for (const one of event.registrations) registrations.set(one.scopeURL, one.registrationId);
  });
  await cdp.send("ServiceWorker.enable");
  await eventually(() => registrations.has(`${desk.origin}/`), "a registration");
  let sent = 0;
  let completed = 0;
  cdp.on("BackgroundService.backgroundServiceEventReceived", ({ backgroundServiceEvent: { eventName } }) => {
    if (eventName === "Push event completed") completed += 1;
  });
  await cdp.send("BackgroundService.startObserving", { service: "pushMessaging" });
  await cdp.send("BackgroundService.setRecording", { service: "pushMessaging", shouldRecord: true });
  return {
    page,
    context,
    /**
     * As if the push service had brought it; until the worker is through with it. Chromium forgets a notification that is
     * shown while it is asked for those that stand there: {@link notifications} is for when nothing is on its way.
     */
    async push(payload) {
      sent += 1;
      const all = sent;
      await cdp.send("ServiceWorker.deliverPushMessage", { origin: desk.origin, registrationId: registrations.get(`${desk.origin}/`), data: JSON.stringify(payload) });
      await eventually(() => completed >= all, "the worker to be through");
    },
    notifications: () => page.evaluate(async () => (await (await navigator.serviceWorker.ready).getNotifications()).map((one) => ({ title: one.title, body: one.body, tag: one.tag, actions: one.actions.map(({ action }) => action) }))),
    /** As if somebody had clicked on the notification; until the worker is through with it. */
    async click(action, tag) {
      const [worker] = context.serviceWorkers();
      await worker.evaluate(async ([action_, tag_]) => {
        const [notification] = await self.registration.getNotifications({ tag: tag_ });
        const event = new NotificationEvent("notificationclick", { notification, action: action_ });
        let through;
        // A click that no person made may keep nothing awake.
        Object.defineProperty(event, "waitUntil", { value: (promise) => { through = promise; } });
        self.dispatchEvent(event);
        await through;
      }, [action, tag]);
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

describe("the bell's ledger", { skip: WITHOUT_DAEMON, timeout: 900_000 }, () => {
  let browser;
  let desk;
  let ana;
  let bob;

  before(async () => {
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]);
    ana = await staff(desk);
    bob = await staff(desk, { email: "bob@shop.example", name: "Bob Horák", role: "agent" });
  });
  after(() => Promise.all([browser?.close(), desk?.stop()]));

  const ringOf = (conversation) => eventually(async () => (await desk.get(`bell?conversation=${conversation}`)).data[0], "a ring");
  const writes = async (name, text) => {
    const customer = await visitor(desk, { name });
    await customer.say(text);
    return { customer, conversation: customer.conversation.id, ring: await ringOf(customer.conversation.id) };
  };

  test("tells as it happens who was rung, when it was shown, and who took it after how long", async () => {
    const page = await deskPage(browser, desk, ana, { path: "/desk/bell" });
    await page.getByText("Nothing has rung yet").waitFor();
    const { conversation, ring } = await writes("Jana Nováková", "Is the big fern in stock?");
    const row = page.locator(`[data-ring="${ring.id}"]`);
    await row.waitFor();
    assert.match(await row.innerText(), /Jana Nováková/);
    await row.click();
    await page.waitForURL((url) => url.pathname === `/desk/bell/${ring.id}`);
    const story = page.getByRole("complementary", { name: "Whom it reached" });
    await story.getByText("Is the big fern in stock?").waitFor();
    // The desk itself has shown it, and the ledger knows.
    await story.getByText(/^Shown \d/).waitFor();
    await story.getByText("Desk in a browser").waitFor();
    const taken = await deskPage(browser, desk, bob, { path: `/desk/bell/${ring.id}` });
    await taken.getByRole("button", { name: "I take it" }).click();
    await story.getByText(/^by Bob Horák, after \d/).waitFor();
    assert.equal((await desk.get(`conversations/${conversation}`)).assignee_id, bob.id);
    await story.getByRole("link", { name: "Open the conversation" }).click();
    await page.waitForURL((url) => url.pathname.endsWith(`/${conversation}`));
    assert.deepEqual([...page.wrong, ...taken.wrong], []);
    await Promise.all([page.context().close(), taken.context().close()]);
  });

  test("says why a device did not show it, and what ended without a taker", async () => {
    const { conversation, ring } = await writes("Piotr Wiśniewski", "Do you ship to Brno?");
    await desk.ask("POST", `bell/${ring.id}/shown`, { device: "web-push", failed: true, detail: "The push service answered 410." });
    const page = await deskPage(browser, desk, ana, { path: `/desk/bell/${ring.id}` });
    const story = page.getByRole("complementary", { name: "Whom it reached" });
    await story.getByText("The push service answered 410.").waitFor();
    await desk.ask("PATCH", `conversations/${conversation}`, { status: "resolved" });
    await story.getByText("Resolved", { exact: true }).first().waitFor();
    await page.context().close();
  });

  test("its filters and figures go by what rang", async () => {
    const { conversation } = await writes("Nobody Hears", "Is anybody there?");
    // No desk is open: it ends without having been shown.
    await desk.ask("PATCH", `conversations/${conversation}`, { status: "resolved" });
    const page = await deskPage(browser, desk, ana, { path: "/desk/bell" });
    const figures = page.getByRole("region", { name: "How well it works" });
    await figures.getByRole("link", { name: "See the newest" }).waitFor();
    await page.getByLabel("State").selectOption("taken");
    await eventually(async () => (await page.locator("[data-ring]").count()) === 1, "only what was taken");
    assert.match(await page.locator("[data-ring]").innerText(), /Jana/);
    await page.getByLabel("State").selectOption("ended");
    await page.getByText("Nobody heard it").first().waitFor();
    await page.getByLabel("To").fill("2020-01-01");
    await page.getByLabel("To").dispatchEvent("change");
    await page.getByText("Nothing rang that fits").waitFor();
    await page.getByRole("button", { name: "Show everything" }).click();
    await eventually(async () => (await page.locator("[data-ring]").count()) >= 3, "everything");
    await figures.getByText("By hour and channel").click();
    await figures.getByRole("rowheader", { name: "Website chat" }).waitFor();
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });

  test("an alarm stands out, and can be taken where it stands", async () => {
    const page = await deskPage(browser, desk, ana);
    const alarm = {
      id: "rng_0000000000001", conversation_id: null, message_id: null, channel_id: null, state: "ringing", step: 1, started_at: new Date().toISOString(),
      next_step_at: null, taken_at: null, taken_by: null, ended: null, silenced: false, attempts: [], kind: "disk", title: "The disk is nearly full", detail: "3 % are left.",
    };
    await page.route("**/api/v1/bell?*", async (route) => {
      const answer = await route.fetch();
      const list = await answer.json();
      await route.fulfill({ response: answer, json: { ...list, data: [alarm, ...list.data] } });
    });
    await page.route(`**/api/v1/bell/${alarm.id}/ack`, (route) => route.fulfill({ json: { ...alarm, state: "taken", taken_by: ana.id, taken_at: new Date().toISOString() } }));
    await page.goto(`${desk.origin}/desk/bell`);
    await page.getByText("The disk is nearly full").waitFor();
    await page.getByText("3 % are left.").waitFor();
    await page.getByRole("button", { name: "I take it: The disk is nearly full" }).click();
    await page.getByText(/^You took it after/).waitFor();
    await page.context().close();
  });

  test("axe finds nothing on a ring and on the figures, in both themes and three widths", async () => {
    const [ring] = (await desk.get("bell")).data;
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1440, 1024, 390]) {
        const page = await deskPage(browser, desk, ana, { colorScheme, viewport: { width, height: 844 }, reducedMotion: "reduce", path: `/desk/bell/${ring.id}` });
        await page.getByText("In short").waitFor();
        const found = async () => (await new AxeBuilder({ page }).analyze()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(" | ")}`);
        assert.deepEqual(await found(), [], `${width} ${colorScheme}`);
        await page.goto(`${desk.origin}/desk/bell`);
        await page.getByText("By hour and channel").click();
        assert.deepEqual(await found(), [], `${width} ${colorScheme}`);
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, `${width} is wide enough`);
        await page.context().close();
      }
    }
  });

  describe("with the desk closed", () => {
    let keeping;
    before(async () => { keeping = await openKeeping(desk, ana); });
    after(() => keeping?.close());

    /** Waits until so many notifications stand there; says which do where that does not happen. */
    const stand = (count, seconds = 30) => eventually(async () => (await keeping.notifications()).length === count, `${count} notifications`, seconds)
      .catch(async (error) => { throw new Error(`${error.message}, but ${JSON.stringify(await keeping.notifications())}`); });
    const standsFor = (conversation) => eventually(async () => (await keeping.notifications()).find(({ tag }) => tag === conversation), "a notification");
    const about = (ring, more = {}) => ({ type: "ring", ring: ring.id, conversation: ring.conversation_id, step: 1, title: "Jana at Website chat", body: "Is it there?", silent: false, ...more });

    test("the worker is one file that is asked for anew, caches nothing, and makes an app of the desk", async () => {
      const answer = await fetch(`${desk.origin}/sw.js`);
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get("content-type"), /javascript/);
      assert.equal(answer.headers.get("cache-control"), "no-cache");
      const text = await answer.text();
      assert.doesNotMatch(text, /\bimport\b|importScripts|addEventListener\(.fetch/);
      assert.ok(text.length < 20_000, `${text.length} bytes`);
      assert.deepEqual(await keeping.page.evaluate(() => caches.keys()), []);
      const version = await keeping.page.evaluate(async () => {
        const { port1, port2 } = new MessageChannel();
        (await navigator.serviceWorker.ready).active.postMessage("version", [port2]);
        return new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(data); });
      });
      assert.ok(/^[0-9a-f]{12}$/.test(version) && text.includes(version), version);
      const manifest = await (await fetch(`${desk.origin}/manifest.webmanifest`)).json();
      assert.deepEqual([manifest.start_url, manifest.display, manifest.scope], ["/", "standalone", "/"]);
      for (const { src } of manifest.icons) {
        const icon = await fetch(`${desk.origin}${src}`);
        assert.equal(icon.headers.get("content-type"), "image/png", src);
      }
      const cdp = await keeping.context.newCDPSession(keeping.page);
      const { errors } = await cdp.send("Page.getAppManifest");
      assert.deepEqual(errors, []);
      const { installabilityErrors } = await cdp.send("Page.getInstallabilityErrors");
      assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito"), []);
    });

    test("f36_one notification a conversation, which a later step replaces, and the ledger hears that it was shown", async () => {
      const { ring } = await writes("Jana Nováková", "Is it there?");
      await keeping.push(about(ring));
      await stand(1);
      await keeping.push(about(ring, { step: 2, body: "Hello?" }));
      const shown = await eventually(async () => {
        const all = await keeping.notifications();
        return all[0]?.body === "Hello?" && all;
      }, "the later step");
      assert.deepEqual(shown, [{ title: "Jana at Website chat", body: "Hello?", tag: ring.conversation_id, actions: ["take", "answer"] }]);
      await eventually(async () => (await desk.get(`bell/${ring.id}`)).attempts.some(({ device, result }) => device === "web-push" && result === "shown"), "the ledger to know");
      // Somebody has taken it: nothing is left within a second.
      await keeping.push({ type: "taken", ring: ring.id, conversation: ring.conversation_id });
      await stand(0, 5);
    });

    test("f36 of what comes at once nothing is forgotten, and all of it goes", async () => {
      for (let round = 0; round < 4; round += 1) {
        // Of rings that the daemon does not know: it is the browser that is tried.
        const rings = Array.from({ length: 30 }, (_, number) => ({ id: `rng_at_once_${round}_${number}`, conversation_id: `cnv_at_once_${round}_${number}` }));
        await Promise.all(rings.map((ring) => keeping.push(about(ring))));
        await stand(rings.length);
        await Promise.all(rings.map((ring) => keeping.push({ type: "taken", ring: ring.id, conversation: ring.conversation_id })));
        await stand(0);
      }
    });

    test("f36 a push that the daemon sends twice is shown once, also when it was waved away in between", async () => {
      const { ring } = await writes("Twice Told", "Only once, please");
      const wave = () => keeping.page.evaluate(async () => { for (const one of await (await navigator.serviceWorker.ready).getNotifications()) one.close(); });
      await keeping.push(about(ring, { id: "wrk_twice1" }));
      await stand(1);
      await eventually(() => keeping.page.evaluate(() => new Promise((resolve) => {
        indexedDB.open("deskbell").onsuccess = ({ target: { result } }) => {
          result.transaction("device").objectStore("device").get("pushes").onsuccess = ({ target }) => { result.close(); resolve(target.result?.includes("wrk_twice1")); };
        };
      })), "the browser to know it");
      await wave();
      await keeping.push(about(ring, { id: "wrk_twice1" }));
      // The next one shows that the worker is through with it.
      const { ring: next } = await writes("Another One", "And me?");
      await keeping.push(about(next, { id: "wrk_twice2" }));
      await standsFor(next.conversation_id);
      assert.deepEqual((await keeping.notifications()).map(({ tag }) => tag), [next.conversation_id]);
      await wave();
    });

    test("what was taken while the push was on its way does not stay", async () => {
      const { ring } = await writes("Late Larry", "Taken before you know");
      await desk.ask("POST", `bell/${ring.id}/ack`);
      await keeping.push(about(ring));
      await eventually(async () => (await desk.get(`bell/${ring.id}`)).attempts.some(({ device }) => device === "web-push"), "the worker to have told");
      await stand(0, 5);
    });

    test("“I take it” takes it, “Answer” leads an open tab of the desk to the conversation", async () => {
      const { conversation, ring } = await writes("Emma Fischer", "Take me");
      await keeping.push(about(ring));
      await stand(1);
      await keeping.click("take", conversation);
      await eventually(async () => (await desk.get(`bell/${ring.id}`)).state === "taken", "taken");
      assert.equal((await desk.get(`conversations/${conversation}`)).assignee_id, ana.id);
      await stand(0);
      const next = await writes("Tomáš Dvořák", "Answer me");
      await keeping.push(about(next.ring));
      await standsFor(next.conversation);
      await keeping.click("answer", next.conversation);
      await keeping.page.waitForURL((url) => url.pathname === `/desk/inbox/open/${next.conversation}`);
      await keeping.page.getByRole("textbox", { name: /^Reply to / }).waitFor();
      assert.equal(keeping.context.pages().filter((page) => page.url().startsWith(desk.origin)).length, 1, "no other tab was opened");
    });

    test("“I take it” too late says so", async () => {
      const { ring } = await writes("Fast Fred", "Who is faster?");
      await keeping.push(about(ring));
      await standsFor(ring.conversation_id);
      const taken = await deskPage(browser, desk, bob, { path: `/desk/bell/${ring.id}` });
      await taken.getByRole("button", { name: "I take it" }).click();
      await eventually(async () => (await desk.get(`bell/${ring.id}`)).taken_by === bob.id, "Bob to have it");
      await taken.context().close();
      await keeping.click("take", ring.conversation_id);
      await eventually(async () => (await keeping.notifications())[0]?.title === "Somebody was faster", "it says so").catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await keeping.notifications())}`); });
      assert.equal((await desk.get(`bell/${ring.id}`)).taken_by, bob.id);
      await keeping.push({ type: "taken", ring: ring.id, conversation: ring.conversation_id });
      await stand(0);
    });

    test("what the worker cannot read rings all the same", async () => {
      await keeping.push({ type: "of a later daemon" });
      await eventually(async () => (await keeping.notifications()).some(({ title }) => title === "Something rings"), "a notification");
      await keeping.page.evaluate(async () => { for (const one of await (await navigator.serviceWorker.ready).getNotifications()) one.close(); });
    });

    test("f34_a browser that cannot reach its push service says so, and is not waited for without end", async () => {
      const key = await pushKey();
      const { page } = keeping;
      await page.route("**/api/v1/push-key", (route) => route.fulfill({ json: { key } }));
      await page.route("**/api/v1/devices?*", (route) => route.fulfill({ json: { data: [], next: null } }));
      await page.goto(`${desk.origin}/desk/settings/devices`);
      await page.getByRole("button", { name: "Turn on notifications" }).click();
      await page.getByText(/did not reach its maker’s push service|push service refused/).waitFor();
      await page.getByRole("button", { name: "Turn on notifications" }).waitFor();
      await page.unrouteAll();
      assert.deepEqual(page.wrong, []);
    });
  });

  test("devices: what a daemon cannot do is said calmly, and what a browser was told not to do in words", async () => {
    const page = await deskPage(browser, desk, ana);
    const problem = { status: 404, contentType: "application/problem+json", body: JSON.stringify({ type: "about:blank", title: "Not found", status: 404 }) };
    await page.route("**/api/v1/devices?*", (route) => route.fulfill(problem));
    await page.goto(`${desk.origin}/desk/settings/devices`);
    await page.getByText("This daemon cannot ring closed browsers or other devices yet.").waitFor();
    assert.equal(await page.getByRole("alert").count(), 0);
    await page.unrouteAll();
    const key = await pushKey();
    await page.addInitScript(() => Object.defineProperty(Notification, "permission", { get: () => "denied" }));
    await page.route("**/api/v1/push-key", (route) => route.fulfill({ json: { key } }));
    await page.route("**/api/v1/devices?*", (route) => route.fulfill({ json: { data: [], next: null } }));
    await page.goto(`${desk.origin}/desk/settings/devices`);
    await page.getByText("This browser was told not to show notifications of the desk.").waitFor();
    await page.context().close();
  });

  test("devices: a code is shown large until the companion has come", async () => {
    const page = await deskPage(browser, desk, ana);
    const devices = [];
    await page.route("**/api/v1/push-key", async (route) => route.fulfill({ json: { key: await pushKey() } }));
    await page.route("**/api/v1/devices?*", (route) => route.fulfill({ json: { data: devices, next: null } }));
    await page.route("**/api/v1/devices/codes", (route) => route.fulfill({ status: 201, json: { code: "K7QM-3XPD", expires_at: new Date(Date.now() + 600_000).toISOString() } }));
    await page.goto(`${desk.origin}/desk/settings/devices`);
    await page.getByRole("button", { name: "Pair a computer" }).click();
    await page.getByText("K7QM-3XPD", { exact: true }).waitFor();
    await page.getByText(/^Good for 9:5\d, once\.$/).waitFor();
    const at = new Date().toISOString();
    devices.push({ id: "dev_2", user_id: ana.id, kind: "desktop", name: "shop-counter", created_at: at, last_seen_at: at, last_shown_at: null, confirmed_at: null, state: "unconfirmed", detail: null });
    await page.getByText("shop-counter is paired.").waitFor();
    await page.getByRole("button", { name: "Test shop-counter" }).first().waitFor();
    await page.context().close();
  });
});
