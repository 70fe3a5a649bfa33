// Pictures of the desk's main screens, for looking at: three widths, both themes.
//
//   DESKBELL_BIN=../../target/debug/deskbell SCREENSHOTS=pictures node screenshots.mjs [name …]
//
// SCREENSHOTS_LANGUAGE=sk shows them as somebody sees them whose browser asks for Slovak.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { deskPage, staff } from "./desk.mjs";
import { openBrowser, openPage, startDesk } from "./harness.mjs";
import { deliver, visitor, written } from "./seed.mjs";

const folder = process.env.SCREENSHOTS;
if (!folder || !process.env.DESKBELL_BIN) {
  console.error("SCREENSHOTS names the folder to write to, DESKBELL_BIN the daemon");
  process.exit(2);
}
const only = process.argv.slice(2);
const SIZES = [[1440, 900], [1024, 768], [390, 844]];

/** A shop on a usual morning. */
async function shop(desk) {
  const minute = 60_000;
  const now = Date.now();
  const people = [
    ["Jana Nováková", ["Dobrý deň, kedy príde moja objednávka? Číslo 2026/118.", "Potrebujem ju do piatku."]],
    ["Piotr Wiśniewski", ["Is the big fern in stock again?"]],
    ["Ольга Петрова", ["Здравствуйте! Можно ли вернуть чай, если коробка не открыта?"]],
    ["Tomáš Dvořák", ["The parcel came with a broken pot.", "Photo follows."]],
    ["Emma Fischer", ["Thank you, it looks wonderful on the window sill 🌿"]],
    ["Ahmed Haddad", ["هل تشحنون إلى فيينا؟"]],
    ["Sophie Laurent", ["Could you gift-wrap order 2231?"]],
  ];
  const open = {};
  for (const [name, texts] of people) {
    const customer = await visitor(desk, { name });
    for (const text of texts) await customer.say(text);
    open[name] = customer.conversation.id;
  }
  await deliver(desk, [
    written("7001", "Hello, do you ship to Brno?", { at: now - 9 * minute }),
    written("7002", "When do you open tomorrow?", { at: now - 40 * 60 * minute }),
    written("7003", "I would like to change the address of my order, please. It is the second house behind the bakery, not the first one.", { at: now - 3 * minute }),
  ]);
  await desk.message("When do you open tomorrow?");
  const say = (name, body) => desk.ask("POST", `conversations/${open[name]}/messages`, body);
  await say("Emma Fischer", { text: "That makes us happy. Water it on Sundays." });
  await say("Jana Nováková", { text: "She asked by phone, too. The courier has it since Tuesday.", private: true });
  await say("Tomáš Dvořák", { text: "We are sorry. A new one leaves today; keep the broken one for your herbs." });
  await desk.ask("PATCH", `conversations/${open["Sophie Laurent"]}`, { labels: ["gift", "urgent"], priority: "high" });
  return open;
}

const desk = await startDesk("daemon");
const browser = await openBrowser();
try {
  await mkdir(folder, { recursive: true });
  const ana = await staff(desk);
  const open = await shop(desk);
  const jana = open["Jana Nováková"];
  const SCREENS = {
    inbox: "/",
    conversation: `/desk/inbox/unanswered/${jana}`,
    stream: "/desk/stream",
    empty: "/desk/inbox/spam",
    you: "/desk/settings/you",
    people: "/desk/settings/people",
    channels: "/desk/settings/channels",
    settings: "/desk/settings",
  };
  const wanted = (name) => only.length === 0 || only.includes(name);
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of SIZES) {
      const context = { colorScheme, viewport: { width, height }, reducedMotion: "reduce", locale: process.env.SCREENSHOTS_LANGUAGE ?? "en-GB" };
      const shoot = async (page, name) => {
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`) });
        for (const wrong of page.wrong) console.log(`${name} ${width} ${colorScheme}: ${wrong}`);
      };
      if (wanted("signin")) {
        const page = await openPage(await browser.newContext(context), `${desk.origin}/signin`);
        await page.locator("button[type=submit]").waitFor();
        await shoot(page, "signin");
        await page.context().close();
      }
      const page = await deskPage(browser, desk, ana, context);
      for (const [name, path] of Object.entries(SCREENS).filter(([name_]) => wanted(name_))) {
        await page.goto(`${desk.origin}${path}`);
        await page.waitForLoadState("networkidle", { timeout: 3_000 }).catch(() => {});
        await page.waitForTimeout(700);
        await shoot(page, name);
      }
      await page.context().close();
    }
  }
} finally {
  await browser.close();
  await desk.stop();
}
