// The desk's own page, as a test uses it: who signs in, and where things stand.

import { openPage } from "./harness.mjs";

export const PASSWORD = "an invented password 2026";

/**
 * Somebody of the shop: made by the API where there is no such person yet, signed in, as a state that contexts of the
 * browser begin with.
 */
export async function staff(desk, { email = "ana@shop.example", name = "Ana Kováčová", role = "admin", channels = "all" } = {}) {
  const made = await desk.ask("POST", "users", { email, name, password: PASSWORD, role, channels });
  if (made.status === 404) return bySetUpLink(desk);
  if (made.status !== 201 && made.status !== 409 && made.status !== 422) throw new Error(`POST users: ${made.status} ${JSON.stringify(made.body)}`);
  const answer = await fetch(`${desk.origin}/api/v1/session`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Origin: desk.origin },
    body: JSON.stringify({ email, password: PASSWORD }),
  });
  if (answer.status !== 201) throw new Error(`POST session: ${answer.status} ${await answer.text()}`);
  return { id: made.body?.id ?? (await answer.json()).id, email, name, state: stateOf(desk, answer) };
}

let setUp = null;
async function bySetUpLink(desk) {
  setUp ??= await fetch(desk.setupUrl, { redirect: "manual" });
  return { id: null, email: null, name: null, state: stateOf(desk, setUp) };
}

function stateOf(desk, answer) {
  const { hostname } = new URL(desk.origin);
  const cookies = answer.headers.getSetCookie().map((line) => {
    const [, name_, value] = /^([^=]+)=([^;]*)/.exec(line);
    return { name: name_, value, domain: hostname, path: "/", expires: -1, httpOnly: true, secure: /;\s*Secure/i.test(line), sameSite: "Lax" };
  });
  return { cookies, origins: [] };
}

/** A page of the desk with this person signed in. */
export async function deskPage(browser, desk, person, { path = "/", context, ...options } = {}) {
  const page = await openPage(context ?? await browser.newContext({ storageState: person.state, ...options }));
  await page.goto(`${desk.origin}${path}`);
  await page.locator("html[data-hearing]").waitFor();
  return page;
}

/** What stands where on the desk's page. */
export const deskOf = (page) => ({
  rows: page.locator("[data-row]"),
  row: (words) => page.locator("[data-row]", { hasText: words }),
  said: page.locator("[data-message]"),
  field: page.getByRole("textbox", { name: /^Reply to |^Note for colleagues/ }),
  send: page.getByRole("button", { name: "Send", exact: true }),
  thread: page.getByRole("region", { name: "Messages" }),
  /** Opens the conversation whose row has these words. */
  async open(words) {
    await this.row(words).first().click();
    await this.field.waitFor();
  },
  async answer(text) {
    await this.field.fill(text);
    await this.field.press("Control+Enter");
  },
});
