import { IntlMessageFormat } from 'intl-messageformat';
import { describe, expect, it } from 'vitest';

import { isCode, languages } from './choice';
import { cs } from './cs';
import { de } from './de';
import { en } from './en';
import { hooks } from './en/hooks';
import { hours } from './en/hours';
import { review } from './en/review';
import { pl } from './pl';
import { sk } from './sk';

const CATALOGUES: Record<string, Record<string, string>> = { sk, cs, pl, de };
/** Nobody has translated these parts yet: until then they are said in English. Whoever does takes them out of here. */
const UNTRANSLATED = { ...hooks, ...hours };
/** What every catalogue has: all of English, without what only Meta reads. */
const wanted = Object.entries(en).filter(([key]) => !Object.hasOwn(review, key) && !Object.hasOwn(UNTRANSLATED, key));

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

describe.each(Object.keys(CATALOGUES))('%s', (code) => {
  it('is complete, has nothing more, and keeps the arguments and the plurals', () => {
    expect(faults(code, CATALOGUES[code] ?? {}, wanted)).toEqual([]);
  });
});

it('has a catalogue for every language that can be chosen', () => {
  expect(Object.keys(languages).sort()).toEqual(['en', ...Object.keys(CATALOGUES)].sort());
  for (const code of Object.keys(CATALOGUES)) expect(isCode(code)).toBe(true);
});
