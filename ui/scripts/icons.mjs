// Makes the icons of the installed desk from public/icon.svg. Run it by hand after that has changed: it needs Chromium and
// what tests/e2e has installed.

import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const here = import.meta.dirname;
const { chromium } = createRequire(join(here, "../../tests/e2e/package.json"))("playwright-core");
const folder = join(here, "../public");
const bell = await readFile(join(folder, "icon.svg"), "utf8");
const GROUND = "#fff1e7";

// Of the whole width, the bell takes so much: systems cut a maskable icon down to a circle of four fifths.
const ICONS = [
  { name: "icon-192.png", size: 192, part: 0.72, ground: GROUND, round: 0.22 },
  { name: "icon-512.png", size: 512, part: 0.72, ground: GROUND, round: 0.22 },
  { name: "icon-maskable-512.png", size: 512, part: 0.54, ground: GROUND, round: 0 },
  { name: "apple-touch-icon.png", size: 180, part: 0.66, ground: GROUND, round: 0 },
  // Of a badge only what is not transparent counts.
  { name: "badge-96.png", size: 96, part: 1, ground: "none", round: 0, colour: "#ffffff" },
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--headless", "--no-sandbox", "--disable-gpu"] });
try {
  for (const { name, size, part, ground, round, colour } of ICONS) {
    const page = await browser.newPage({ viewport: { width: size, height: size } });
    const inner = size * part;
    const at = (size - inner) / 2;
    const sign = (colour ? bell.replace(/stroke="#\w+"/, `stroke="${colour}"`) : bell)
      .replace("<svg ", `<svg x="${at}" y="${at}" width="${inner}" height="${inner}" `);
    await page.setContent(`<!doctype html><style>body{margin:0}svg{display:block}</style>
<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"><rect width="${size}" height="${size}" rx="${size * round}" fill="${ground}"/>${sign}</svg>`);
    await page.screenshot({ path: join(folder, name), omitBackground: true });
    await page.close();
  }
} finally {
  await browser.close();
}
