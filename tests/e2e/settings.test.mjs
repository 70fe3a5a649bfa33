// From the set-up link to a desk with people and channels, as its first administrator walks it: nothing but the pages.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { AxeBuilder } from "@axe-core/playwright";

import { WITHOUT_DAEMON, eventually, openBrowser, openPage, startDesk } from "./harness.mjs";
import { deliver, visitor, written } from "./seed.mjs";

const ANA = { email: "ana@butik.example", password: "seven blue umbrellas" };
const PETER = { email: "peter@butik.example", password: "green kettle harbour moon" };

describe("signing in and the settings", { skip: WITHOUT_DAEMON, timeout: 900_000 }, () => {
  let browser;
  let desk;
  let ana;
  let peter;
  let link;
  const pages = [];
  const open = async (path, options = {}) => {
    const page = await openPage(await browser.newContext({ locale: "en-GB", ...options }), `${desk.origin}${path}`);
    pages.push(page);
    return page;
  };
  const go = (page, path) => page.goto(`${desk.origin}${path}`);
  const settled = (page, path) => page.waitForURL((url) => url.pathname === path);

  before(async () => { [browser, desk] = await Promise.all([openBrowser(), startDesk("daemon")]); });
  after(() => Promise.all([browser?.close(), desk?.stop()]));

  test("the set-up link leads to the first account, and the first message is seen to arrive", async () => {
    ana = await open(new URL(desk.setupUrl).pathname + new URL(desk.setupUrl).search);
    await settled(ana, "/welcome");
    await ana.getByLabel("Your name").fill("Ana Kováčová");
    await ana.getByLabel("E-mail").fill(ANA.email);
    await ana.getByLabel("Password", { exact: true }).fill("Password123");
    await ana.getByRole("button", { name: "Make the account" }).click();
    await ana.getByText(/passwords that are tried first/).waitFor();
    await ana.getByLabel("Password", { exact: true }).fill(ANA.password);
    await ana.getByRole("button", { name: "Make the account" }).click();
    await ana.getByText("Waiting for a message on Website chat").waitFor();
    const customer = await visitor(desk);
    await customer.say("Je skladem i v L?");
    await ana.getByText("It arrived.").waitFor();
    await ana.getByText("Je skladem i v L?").waitFor();
    await ana.getByRole("button", { name: "To the inbox" }).click();
    await settled(ana, "/");
  });

  test("the set-up link works once, and says so", async () => {
    const late = await open(new URL(desk.setupUrl).pathname + new URL(desk.setupUrl).search);
    await late.getByText(/it works once/).waitFor();
    assert.equal(new URL(late.url()).pathname, "/signin");
  });

  test("s02_an unknown address and a wrong password read alike", async () => {
    const said = [];
    for (const email of [ANA.email, "nobody@butik.example"]) {
      const page = await open("/signin");
      await page.getByLabel("E-mail").fill(email);
      await page.getByLabel("Password", { exact: true }).fill("nobody has this one");
      await page.getByRole("button", { name: "Sign in" }).click();
      said.push(await page.getByRole("alert").textContent());
    }
    assert.match(said[0], /not right/);
    assert.equal(said[0], said[1]);
  });

  test("s11_after signing in one comes where one wanted to go, and never to another site", async () => {
    for (const [wanted, path] of [["/desk/settings/you", "/desk/settings/you"], ["//evil.example", "/"], ["https://evil.example", "/"], ["/desk/%2e%2e/setup", "/"], ["/\\evil.example", "/"]]) {
      const page = await open(`/signin?return=${encodeURIComponent(wanted)}`);
      await page.getByLabel("E-mail").fill(ANA.email);
      await page.getByLabel("Password", { exact: true }).fill(ANA.password);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.waitForURL((url) => url.pathname !== "/signin");
      assert.equal(page.url(), `${desk.origin}${path}`, wanted);
      await page.context().close();
    }
  });

  test("a colleague is invited, joins once, and sees what is theirs only", async () => {
    await go(ana, "/desk/settings/people");
    await ana.getByRole("button", { name: "Invite somebody" }).click();
    await ana.getByLabel("Name", { exact: true }).fill("Peter Tóth");
    await ana.getByLabel("E-mail").fill(ANA.email.toUpperCase());
    await ana.getByRole("button", { name: "Make the invitation" }).click();
    await ana.getByText(/Somebody here has this e-mail address already/).waitFor();
    await ana.getByLabel("E-mail").fill(PETER.email);
    await ana.getByText("Only these").click();
    await ana.getByLabel("Website chat").check();
    await ana.getByRole("button", { name: "Make the invitation" }).click();
    link = (await ana.getByRole("textbox", { name: /Link for Peter/ }).textContent()).trim();
    assert.match(link, new RegExp(`^${desk.origin}/join#`));
    await ana.getByRole("button", { name: "Done" }).click();

    peter = await open("/signin");
    await peter.goto(link);
    await peter.getByLabel("Password", { exact: true }).fill(PETER.password);
    await peter.getByRole("button", { name: "Join" }).click();
    await settled(peter, "/");
    assert.equal(new URL(peter.url()).hash, "", "the token does not stay in the address");
    await go(peter, "/desk/settings/people");
    await peter.getByText("Nothing here for you").waitFor();
    assert.deepEqual(await peter.getByRole("navigation", { name: "Settings" }).getByRole("link").filter({ visible: true }).allInnerTexts(), ["You", "Your devices", "Saved views", "Canned replies"]);

    const thief = await open("/signin");
    await thief.goto(link);
    await thief.getByText("This link works no more").waitFor();
  });

  test("s04_who is disabled is out within seconds, with the page open", async () => {
    await go(ana, "/desk/settings/people");
    await ana.getByRole("link", { name: /Peter/ }).click();
    await ana.getByRole("button", { name: "Disable" }).click();
    await ana.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
    await ana.getByRole("button", { name: "Enable again" }).waitFor();
    await settled(peter, "/signin");
    await ana.getByRole("button", { name: "Enable again" }).click();
    await ana.getByRole("button", { name: "Link for a new password" }).click();
    await ana.getByRole("button", { name: "Make the link" }).click();
    assert.match((await ana.getByRole("textbox", { name: /Link for Peter/ }).textContent()).trim(), /\/join#/);
  });

  test("a Page is added by its guide, secrets are never shown again, and its first message is seen", async () => {
    await desk.ask("DELETE", "channels/second-page");
    await go(ana, "/desk/settings/channels?add=messenger");
    await ana.getByRole("button", { name: "Add the channel" }).click();
    await ana.getByText(/Still missing: App ID/).waitFor();
    await ana.getByRole("textbox", { name: "Name", exact: true }).fill("Second Page");
    for (const [label, value] of [["App ID", "4242424242"], ["App secret", "invented-app-secret-of-a-test"], ["Page ID", "5647382910"], ["Page access token", "invented"]]) await ana.getByLabel(label).fill(value);
    await ana.getByText("Advanced", { exact: true }).click();
    await ana.getByLabel("Address of the platform’s API").fill("http://127.0.0.1:9");
    await ana.getByRole("button", { name: "Add the channel" }).click();
    await ana.waitForURL((url) => url.pathname === "/desk/settings/channels/second-page" && url.search === "?guide");
    await ana.getByText("By hand instead").click();
    assert.equal((await ana.getByRole("textbox", { name: "Callback URL" }).textContent()).trim(), `${desk.origin}/webhooks/second-page`);
    assert.match((await ana.getByRole("textbox", { name: "Verify token" }).textContent()).trim(), /^[\w-]{32}$/);
    await go(ana, "/desk/settings/channels/second-page");
    await ana.getByLabel("Page ID").waitFor();
    assert.equal(await ana.getByLabel("Page ID").inputValue(), "5647382910");
    for (const secret of ["App secret", "Page access token", "Verify token"]) assert.equal(await ana.getByLabel(secret).inputValue(), "");

    await go(ana, "/desk/settings/channels/shop-page?guide");
    await ana.getByText("Waiting for a message on Shop on Facebook").waitFor();
    await deliver(desk, written(778899, "Máte i L?"));
    await ana.getByText("Máte i L?").waitFor();
  });

  test("a channel is removed with a question, and its history can be gone on with", async () => {
    await go(ana, "/desk/settings/channels/second-page");
    await ana.getByRole("button", { name: "Remove the channel" }).click();
    await ana.getByRole("dialog").getByText(/conversations stay/).waitFor();
    await ana.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    assert.equal((await desk.ask("GET", "channels/second-page")).body.source, "api");
    await ana.getByRole("button", { name: "Remove the channel" }).click();
    await ana.getByRole("dialog").getByRole("button", { name: "Remove the channel" }).click();
    await settled(ana, "/desk/settings/channels");
    await eventually(async () => (await desk.ask("GET", "channels/second-page")).body.source !== "api", "removed");
  });

  test("a token is shown once", async () => {
    await go(ana, "/desk/settings/tokens");
    await ana.getByRole("button", { name: "Make a token" }).click();
    await ana.getByLabel("What it is for").fill("Nightly reports");
    await ana.getByRole("button", { name: "Make the token" }).click();
    const token = (await ana.getByRole("textbox", { name: "Nightly reports" }).textContent()).trim();
    const ask = () => fetch(`${desk.origin}/api/v1/me`, { headers: { Authorization: `Bearer ${token}` } });
    assert.equal((await ask()).status, 200);
    await ana.getByRole("button", { name: "Done" }).click();
    await ana.reload();
    await ana.getByText("Nightly reports").waitFor();
    assert.ok(!(await ana.content()).includes(token));
    await ana.getByRole("button", { name: "Revoke Nightly reports" }).click();
    await ana.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await eventually(async () => (await ask()).status === 401, "refused");
  });

  for (const [size, width, height, colorScheme] of [["wide", 1440, 900, "light"], ["wide", 1440, 900, "dark"], ["on a phone", 390, 844, "light"]]) {
    test(`axe finds nothing, ${size}, ${colorScheme}`, async () => {
      const page = await open("/signin", { viewport: { width, height }, colorScheme, storageState: await ana.context().storageState() });
      const found = [];
      for (const path of ["you", "views", "channels", "channels?add", "channels?add=messenger", "channels/shop-page", "people", "teams", "replies", "labels", "shop", "tokens", "audit", "data"]) {
        await go(page, `/desk/settings/${path}`);
        await page.getByRole("heading", { level: 1 }).filter({ visible: true }).first().waitFor();
        const { violations } = await new AxeBuilder({ page }).analyze();
        found.push(...violations.map((one) => `${path}: ${one.id}: ${one.nodes.map((node) => node.target.flat().join(" ")).join(", ")}`));
        if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${path}: wider than the screen`);
      }
      assert.deepEqual(found, []);
      await page.context().close();
    });
  }

  test("nothing went wrong in any page", () => {
    for (const page of pages) assert.deepEqual(page.wrong, [], page.url());
  });
});
