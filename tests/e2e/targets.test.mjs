// Whom the bell reaches, as it is set up by the pages alone: devices and pairing, hooks, hours and who is on call.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { AxeBuilder } from "@axe-core/playwright";

import { deskPage, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, openBrowser, startDesk } from "./harness.mjs";
import { visitor } from "./seed.mjs";

describe("whom the bell reaches", { skip: WITHOUT_DAEMON, timeout: 900_000 }, () => {
  let browser;
  let desk;
  let ana;
  let receiver;
  const got = [];

  before(async () => {
    receiver = createServer((request, answer) => {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        got.push({ id: request.headers["webhook-id"], signature: request.headers["webhook-signature"], body: Buffer.concat(chunks).toString() });
        answer.writeHead(200).end("taken");
      });
    });
    await new Promise((resolve) => { receiver.listen(0, "127.0.0.1", resolve); });
    [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon", { config: "\n[hooks]\nallow_private_addresses = true\n" })]);
    ana = await staff(desk);
  });
  after(async () => {
    await Promise.all([browser?.close(), desk?.stop()]);
    receiver?.close();
  });

  const clean = async (page) => {
    assert.deepEqual((await new AxeBuilder({ page }).analyze()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(" | ")}`), []);
    assert.deepEqual(page.wrong, []);
  };

  test("a companion is paired by its code, stands in the list, and is removed", async () => {
    const page = await deskPage(browser, desk, ana, { path: "/desk/settings/devices" });
    await page.getByRole("button", { name: "Pair a computer" }).click();
    const code = await page.getByText(/^[A-Z0-9]{4}-[A-Z0-9]{4}$/).first().innerText();
    await page.getByText(/^Good for \d:\d\d, once\.$/).waitFor();
    await clean(page);
    const claim = await fetch(`${desk.origin}/api/v1/devices/claim`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ code, name: "shop-counter", kind: "desktop" }) });
    assert.equal(claim.status, 201);
    await page.getByText("shop-counter is paired.").waitFor();
    await page.getByRole("button", { name: "Remove shop-counter" }).first().click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await eventually(async () => (await page.getByRole("button", { name: "Remove shop-counter" }).count()) === 0, "it is gone");
    assert.deepEqual((await desk.get("devices?user=all")).data, []);
    await page.context().close();
  });

  test("a hook is made, shows its secret once, is tried, tells what happened, tells it again, and goes", async () => {
    const page = await deskPage(browser, desk, ana, { path: "/desk/settings/hooks" });
    await page.getByRole("button", { name: "New hook" }).click();
    await page.getByLabel("Address").fill(`http://127.0.0.1:${receiver.address().port}/in`);
    await clean(page);
    await page.getByRole("button", { name: "Make hook" }).click();
    await page.getByText(/^whsec_/).waitFor();
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("link", { name: /127\.0\.0\.1/ }).click();
    await page.getByRole("button", { name: "Test", exact: true }).click();
    await page.getByText(/^It was taken: status 200/).waitFor();
    const customer = await visitor(desk, { name: "Jana Nováková" });
    await customer.say("A message that a hook hears");
    await eventually(() => got.some(({ body }) => body.includes("A message that a hook hears")), "the hook hears of it");
    await page.reload();
    const one = page.getByRole("listitem").filter({ hasText: "New messages" }).first();
    await one.getByText("Taken", { exact: true }).waitFor();
    await one.locator("summary").click();
    await one.getByText(/"A message that a hook hears"/).waitFor();
    await clean(page);
    const before_ = got.length;
    await one.getByRole("button", { name: "Tell again" }).click();
    await eventually(() => got.length > before_, "it is told again");
    assert.equal(got.at(-1).id, got.findLast(({ body }, n) => n < before_ && body.includes("A message that a hook hears")).id, "under the same id");
    await page.getByRole("button", { name: "New secret" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "New secret" }).click();
    await page.getByText(/^whsec_/).waitFor();
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("switch", { name: "Tell it what happens" }).click();
    await eventually(async () => (await desk.get("hooks")).data[0].enabled === false, "off");
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.waitForURL((url) => url.pathname === "/desk/settings/hooks");
    assert.deepEqual((await desk.get("hooks")).data, []);
    await page.context().close();
  });

  test("who is on call, and the hours of a channel and of a person", async () => {
    const page = await deskPage(browser, desk, ana, { path: "/desk/settings/hours" });
    await page.getByLabel("Who is on call").selectOption({ label: ana.name });
    await eventually(async () => (await desk.get("on-call")).user_id === ana.id, "Ana is on call");
    await page.getByText("Ana Kováčová is on call").waitFor();
    await page.getByRole("link", { name: /Website chat/ }).last().click();
    await page.getByText("At these hours").click();
    await page.getByLabel("Monday, from").fill("08:30");
    await page.getByRole("button", { name: "Add hours on Saturday" }).click();
    await page.getByLabel("Time zone").selectOption("Europe/Prague");
    await page.getByText("Waits for the morning").click();
    await page.getByLabel(/^Automatic answer/).fill("We open {opens_date} at {opens_time}.");
    await clean(page);
    await page.getByRole("button", { name: "Save" }).click();
    const hours = await eventually(async () => {
      const told = await desk.get("channels/website/hours");
      return told.open && told;
    }, "hours");
    assert.equal(hours.open.time_zone, "Europe/Prague");
    assert.deepEqual(hours.open.spans.filter(({ day }) => day === "monday" || day === "saturday"), [{ day: "monday", from: "08:30", to: "17:00" }, { day: "saturday", from: "09:00", to: "17:00" }]);
    assert.deepEqual([hours.after_hours, hours.answer], ["hold", "We open {opens_date} at {opens_time}."]);
    await page.goto(`${desk.origin}/desk/settings/hours/${ana.id}`);
    await page.getByRole("group", { name: "Quiet hours" }).getByText("At these hours").click();
    await page.getByRole("button", { name: "Save" }).click();
    await eventually(async () => (await desk.get(`users/${ana.id}/hours`)).quiet?.spans.length === 7, "quiet nights");
    await page.goto(`${desk.origin}/desk/settings/hours`);
    await page.getByText(/Mon 08:30–17:00, Tue–Sat 09:00–17:00/).waitFor();
    await page.context().close();
  });
});
