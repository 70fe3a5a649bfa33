import { afterEach, expect, it } from 'vitest';

import { language } from './i18n/index.svelte';
import { day, until, waiting } from './time';

const now = new Date(2026, 10, 28, 12, 0);
const before = (seconds: number) => new Date(now.getTime() - seconds * 1000);
/** The day after is a Sunday. */
const sunday = new Date(2026, 10, 29, 10, 3);

afterEach(() => language.speak('en'));

it('says how long somebody waits, in the reader’s language', async () => {
  const said = () => [12, 72, 900, 7200, 7500, 86_400, 3 * 86_400, 6 * 86_400].map((seconds) => waiting(before(seconds), now));
  expect(said()).toEqual(['12 s', '1 m 12 s', '15 min', '2 h', '2 h 5 min', '1 d', '3 d', '6 d']);
  await language.speak('sk');
  expect(said()).toEqual(['12 s', '1 min 12 s', '15 min', '2 h', '2 h 5 min', '1 deň', '3 dni', '6 dní']);
});

it('begins the line of a day with a capital', () => {
  expect(day(before(86_400), now, 'sk')).toBe('Včera');
  expect(day(before(3 * 86_400), now, 'sk')).toBe('Streda');
  expect(day(before(3 * 86_400), now, 'de')).toBe('Mittwoch');
  expect(day(new Date(2025, 9, 12), now, 'pl')).toBe('12 października 2025');
});

it('names a day so that it can stand after „do“', () => {
  expect(until(sunday, now, 'en')).toMatch(/^Sunday 10:03/);
  expect(until(sunday, now, 'de')).toBe('Sonntag 10:03');
  expect(until(sunday, now, 'sk')).toBe('ne 10:03');
  expect(until(sunday, now, 'cs')).toBe('ne 10:03');
  expect(until(sunday, now, 'pl')).toBe('niedz. 10:03');
});
