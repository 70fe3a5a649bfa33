// Coming in: the first person by the set-up link, others by a password and a second factor; nobody else.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterEach, before, after, describe, test } from "node:test";

import { PASSWORD, deskOf, staff } from "./desk.mjs";
import { WITHOUT_DAEMON, eventually, openBrowser, openPage, startDesk } from "./harness.mjs";
import { visitor } from "./seed.mjs";

/** The code of an authenticator app now (RFC 6238). */
function codeOf(secret, at = Date.now()) {
  const bits = [...secret.replaceAll(/[\s=]/g, "").toUpperCase()].map((sign) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(sign).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const hash = createHmac("sha1", key).update(counter).digest();
  return String((hash.readUInt32BE(hash.at(-1) & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

describe("coming in", { skip: WITHOUT_DAEMON, timeout: 600_000 }, () => {
  let browser;
  let desk;
  const pages = [];

  before(async () => { [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]); });
  after(() => Promise.all([browser?.close(), desk?.stop()]));
  afterEach(async () => {
    for (const page of pages.splice(0)) {
      assert.deepEqual(page.wrong, []);
      await page.context().close();
    }
  });
  const stranger = async (path) => {
    const page = await openPage(await browser.newContext(), path.startsWith("http") ? path : `${desk.origin}${path}`);
    pages.push(page);
    return page;
  };
  const signIn = async (page, email, password) => {
    await page.getByLabel("E-mail").fill(email);
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
  };
  const inside = (page) => page.locator("html[data-hearing]").waitFor({ timeout: 30_000 });

  test("the first run: set-up link, an account, the first message, the inbox", async () => {
    const page = await stranger(desk.setupUrl);
    await page.waitForURL(/\/welcome/);
    await page.getByLabel("Your name").fill("Ana Kováčová");
    await page.getByLabel("E-mail").fill("ana@shop.example");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByText("Get the first message").first().waitFor();
    const customer = await visitor(desk, { name: "Jana Nováková" });
    await eventually(async () => {
      await customer.say("Hello from the try-it page");
      return page.getByText("Hello from the try-it page").first().waitFor({ timeout: 3_000 }).then(() => true, () => false);
    }, "the message in the welcome", 30);
    await page.getByRole("link", { name: "To the inbox" }).or(page.getByRole("button", { name: "To the inbox" })).first().click();
    await inside(page);
    await deskOf(page).row("Hello from the try-it page").first().waitFor();
    // The link has done its work.
    const second = await stranger(desk.setupUrl);
    await second.getByRole("button", { name: "Sign in", exact: true }).waitFor();
    await second.getByText(/set-up link was used already/).waitFor();
  });

  test("a password lets in, a wrong one does not and says no more than it must", async () => {
    await staff(desk, { email: "boris@shop.example", name: "Boris Kling", role: "agent" });
    const page = await stranger("/desk/inbox/mine");
    await signIn(page, "boris@shop.example", "not the password");
    await page.getByText("The e-mail or the password is not right.").waitFor();
    await signIn(page, "nobody@shop.example", "not the password");
    await page.getByText("The e-mail or the password is not right.").waitFor();
    await signIn(page, "boris@shop.example", PASSWORD);
    await inside(page);
    assert.equal(new URL(page.url()).pathname, "/desk/inbox/mine", "where they wanted to go");
  });

  test("s06 with a second factor the code is asked for, a wrong one refused, and each works once", async () => {
    const clara = await staff(desk, { email: "clara@shop.example", name: "Clara Mayer", role: "agent" });
    const cookie = clara.state.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
    const own = async (path, body) => {
      const answer = await fetch(`${desk.origin}/api/v1/${path}`, { method: "POST", headers: { "Content-Type": "application/json", Cookie: cookie, Origin: desk.origin }, body: JSON.stringify(body) });
      return { status: answer.status, body: await answer.json() };
    };
    const begun = await own("me/two-factor", { password: PASSWORD });
    assert.equal(begun.status, 201, JSON.stringify(begun.body));
    const confirmed = await own("me/two-factor/confirm", { code: codeOf(begun.body.secret, Date.now() - 30_000) });
    assert.equal(confirmed.status, 200, JSON.stringify(confirmed.body));
    const [recovery] = confirmed.body.recovery_codes;
    const page = await stranger("/signin");
    await signIn(page, "clara@shop.example", PASSWORD);
    await page.getByText("Second step").waitFor();
    await page.getByLabel("Code").fill("000000");
    await page.keyboard.press("Enter");
    await page.getByText(/This code is not right/).waitFor();
    await page.getByLabel("Code").fill(codeOf(begun.body.secret));
    await page.keyboard.press("Enter");
    await inside(page);
    const again = await stranger("/signin");
    await signIn(again, "clara@shop.example", PASSWORD);
    await again.getByText("Use a recovery code instead").click();
    await again.getByLabel("Recovery code").fill(recovery);
    await again.keyboard.press("Enter");
    await inside(again);
    const third = await stranger("/signin");
    await signIn(third, "clara@shop.example", PASSWORD);
    await third.getByText("Use a recovery code instead").click();
    await third.getByLabel("Recovery code").fill(recovery);
    await third.keyboard.press("Enter");
    await third.getByText(/not right|used already/).waitFor();
  });

  test("s07 an invitation lets one person in, once", async () => {
    const { status, body } = await desk.ask("POST", "users", { email: "dana@shop.example", name: "Dana", role: "agent", channels: "all" });
    assert.equal(status, 201, JSON.stringify(body));
    const { url } = body.invitation;
    const page = await stranger(url.replace(/^https?:\/\/[^/]+/, desk.origin));
    await page.getByText(/dana@shop\.example/).first().waitFor();
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await inside(page);
    const second = await stranger(url.replace(/^https?:\/\/[^/]+/, desk.origin));
    await second.getByText("This link works no more").waitFor();
  });

  test("s11 after signing in nobody is sent to another site", async () => {
    for (const wanted of ["https://evil.example/", "//evil.example", "/\\evil.example", "/desk/../..//evil.example", "javascript:alert(1)", "/%2f%2fevil.example"]) {
      const page = await stranger(`/signin?return=${encodeURIComponent(wanted)}`);
      await signIn(page, "boris@shop.example", PASSWORD);
      await inside(page);
      const { origin, pathname } = new URL(page.url());
      assert.equal(origin, desk.origin, wanted);
      assert.match(pathname, /^\/(desk.*)?$/, wanted);
    }
  });

  test("who signs out is out, in every tab, and the next person begins with nothing of the first", async () => {
    const page = await stranger("/signin");
    await signIn(page, "boris@shop.example", PASSWORD);
    await inside(page);
    const other = await openPage(page.context(), `${desk.origin}/desk/settings/you`);
    pages.push(other);
    await inside(other);
    await other.getByRole("button", { name: "Sign out" }).first().click();
    for (const one of [page, other]) await one.getByRole("button", { name: "Sign in", exact: true }).waitFor({ timeout: 30_000 });
    await staff(desk, { email: "eva@shop.example", name: "Eva Roth", role: "agent" });
    await signIn(page, "eva@shop.example", PASSWORD);
    await inside(page);
    await page.getByRole("button", { name: /Eva Roth/ }).first().waitFor();
    assert.equal(await page.getByText("Boris Kling").count(), 0);
    pages.splice(pages.indexOf(other), 1);
  });
});
