import { IntlMessageFormat } from 'intl-messageformat';
import { describe, expect, it } from 'vitest';

import { isCode, languages } from './choice';
import { en } from './en';
import { main } from './en/main';
import { review } from './en/review';
import { rooms as roomsOfEn } from './en/rooms';
import { loaders, rooms } from './index.svelte';

type Words = Record<string, string>;
const CODES = Object.keys(loaders) as (keyof typeof loaders)[];
/** What every catalogue has: all of English, without what only Meta reads. */
const translated = (words: Words) => Object.entries(words).filter(([key]) => !Object.hasOwn(review, key));
const wanted = translated(en);

type Element = ReturnType<IntlMessageFormat['getAst']>[number];

/** The arguments of a text, and the cases of each plural in it. */
function read(text: string, code: string): { names: Set<string>; plurals: string[][] } {
  const names = new Set<string>();
  const plurals: string[][] = [];
  const walk = (elements: Element[]): void => {
    for (const one of elements) {
      if ('options' in one) {
        names.add(one.value);
        if ('pluralType' in one) plurals.push(Object.keys(one.options).filter((name) => !name.startsWith('=')));
        for (const { value } of Object.values(one.options)) walk(value);
      } else if ('children' in one) walk(one.children);
      // Words are no argument, and `#` has no name.
      else if ('value' in one && one.type !== WORDS) names.add(one.value);
    }
  };
  walk(new IntlMessageFormat(text, code).getAst());
  return { names, plurals };
}
const WORDS = new IntlMessageFormat('words', 'en').getAst()[0]?.type;

/** What is wrong with a catalogue, in words. */
function faults(code: string, catalogue: Record<string, string>, english: readonly (readonly [string, string])[]): string[] {
  const found: string[] = [];
  const keys = new Set(english.map(([key]) => key));
  for (const key of Object.keys(catalogue)) if (!keys.has(key)) found.push(`${key}: English has no such key`);
  const categories = new Intl.PluralRules(code).resolvedOptions().pluralCategories;
  for (const [key, source] of english) {
    const text = catalogue[key];
    if (text === undefined) {
      found.push(`${key}: is missing`);
      continue;
    }
    const [own, model] = [read(text, code), read(source, 'en')];
    for (const name of own.names) if (!model.names.has(name)) found.push(`${key}: English has no {${name}}`);
    for (const name of model.names) if (!own.names.has(name) && !MAY_LACK[key]?.includes(name)) found.push(`${key}: lacks {${name}}`);
    for (const cases of own.plurals) for (const category of categories) if (!cases.includes(category)) found.push(`${key}: the plural lacks ${category}`);
    if (/!(?!\w)/.test(text) && !source.includes('!')) found.push(`${key}: exclaims`);
    if (text.trim() === '' || text.includes('  ') || /'/.test(text)) found.push(`${key}: is empty, has two blanks, or a straight apostrophe, which ICU reads as a quote`);
  }
  return found;
}

/** Where a language says without a name what English says with one: in the Slavic ones it would need its case. */
const MAY_LACK: Record<string, string[]> = { 'composer.replyHint': ['name'] };

it('knows a faulty catalogue', () => {
  const english = [['a', 'Hello {name}'], ['b', '{count, plural, one {# day} other {# days}}'], ['c', 'Bye']] as const;
  expect(faults('sk', { a: 'Dobrý deň', b: '{count, plural, one {# deň} other {# dní}}', d: 'x' }, english)).toEqual([
    'd: English has no such key', 'a: lacks {name}', 'b: the plural lacks few', 'b: the plural lacks many', 'c: is missing',
  ]);
  expect(faults('sk', { a: 'Ahoj {meno}{name}!', b: '{count, plural, one {#} few {#} many {#} other {#}}', c: 'Maj sa' }, english)).toEqual(['a: English has no {meno}', 'a: exclaims']);
});

it('has English words that can all be read', () => {
  for (const [key, text] of Object.entries(en)) {
    expect(() => read(text, 'en'), key).not.toThrow();
    expect(text, key).not.toMatch(/Oops|! |\w \w.*!$/);
  }
  expect(faults('en', Object.fromEntries(wanted), wanted)).toEqual([]);
});

describe.each(CODES)('%s', (code) => {
  it('is complete, has nothing more, and keeps the arguments and the plurals, in each of its two files', async () => {
    expect(faults(code, (await loaders[code]()) as Words, translated(main))).toEqual([]);
    expect(faults(code, (await rooms[code]()) as Words, translated(roomsOfEn))).toEqual([]);
  });
});

it('says nothing outside of the settings and the room of the bell that is read only there', () => {
  const sources = import.meta.glob<string>(['../../**/*.{ts,svelte}', '!../../**/*.test.ts', '!../../features/{settings,bell}/**', '!./**'], { query: '?raw', import: 'default', eager: true });
  expect(Object.keys(sources).length).toBeGreaterThan(100);
  const early = Object.entries(sources).flatMap(([path, source]) => {
    const said = [...source.matchAll(/['"`]([a-z][\w-]*\.[\w.-]*)/gu)].map(([, words]) => words ?? '');
    const keys = Object.keys(roomsOfEn).filter((key) => !NO_WORDS.has(key));
    return said.filter((words) => keys.some((key) => key === words || (words.endsWith('.') && key.startsWith(words)))).map((words) => `${path}: ${words}`);
  });
  expect(early).toEqual([]);
});
/** An event's type and a variable of canned replies, which are called like keys. */
const NO_WORDS = new Set(['channel.health', 'shop.name']);

it('has a catalogue for every language that can be chosen', () => {
  expect(Object.keys(languages).sort()).toEqual(['en', ...CODES].sort());
  expect(Object.keys(rooms).sort()).toEqual(Object.keys(languages).sort());
  for (const code of CODES) expect(isCode(code)).toBe(true);
});
