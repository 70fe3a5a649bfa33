import { afterEach, describe, expect, it } from 'vitest';

import { language } from '../i18n/index.svelte';
import { fieldWords } from './fields';
import { ApiProblem } from './problem';

afterEach(() => language.speak('en'));

/** The daemon's sentences as it writes them, with its places for numbers and names. */
const SAID = [
  'It may have {MAX_DESCRIPTION_CHARS} characters at the most.', 'Use at most 300 characters.', 'A draft has {MAX_TEXT_CHARS} characters at the most.',
  'A name has 1 to 300 characters, one of them visible.', 'A shortcut has 1 to {MAX_SHORTCUT_CHARS} characters and no spaces.',
  'A password has {MIN_CHARS} to {MAX_CHARS} characters; this one has {chars}.', 'The e-mail address is no password: it is the first that is tried.',
  'This is one of the passwords that are tried first: a well-known one', 'This is not your password.', 'This is no e-mail address, as anna@shop.example.',
  'An e-mail address, as jana@shop.example, of at most 254 characters.', 'There is no channel `{unknown}`.', 'There is no such time zone; write it as Europe/Prague.',
  'There is no such person.', 'There is a team of this name already.', 'Name at least one of `read`, `write`, `admin`.', 'This time is past.', 'is missing: send the file',
  'is empty.', 'Deskbell does not call this address: {why}.', 'It ends when it begins; a whole day is from 00:00 to 24:00.', 'There is no variable {{{name}}}',
  'They may not sign in, or may not answer customers.',
];
const made = (said: string) => said.replaceAll('{{{name}}}', '{name}').replaceAll(/\{[A-Z_]+\}|\{chars\}/g, '12').replaceAll(/\{(unknown|why)\}/g, '$1');

describe('what is wrong with a field', () => {
  it.each(SAID)('is said in the reader’s language: %s', async (said) => {
    const detail = made(said);
    expect(fieldWords(detail)).toBe(detail);
    for (const code of ['sk', 'cs', 'pl', 'de'] as const) {
      await language.speak(code);
      const words = fieldWords(detail);
      expect(words, code).not.toBe(detail);
      expect(words, code).not.toMatch(/[{}]|undefined/);
      if (detail.includes(' 12 ')) expect(words, code).toContain('12');
    }
  });

  it('is known by what the daemon says today', () => {
    const sources = import.meta.glob<string>(['../../../../src/{api,access}/*.rs', '!**/common_passwords.rs'], { query: '?raw', import: 'default', eager: true });
    expect(Object.keys(sources).length).toBeGreaterThan(50);
    const told = Object.values(sources).join('\n').replaceAll(/\\\n\s*/g, '');
    for (const said of SAID) expect(told.includes(said), said).toBe(true);
  });

  it('is said as it came where it is not known', async () => {
    await language.speak('sk');
    expect(fieldWords('A page has another id.')).toBe('A page has another id.');
    const problem = new ApiProblem(422, { errors: [{ pointer: '/email', detail: 'This is no e-mail address, as anna@shop.example.' }, { pointer: '/x', detail: 'Quite new.' }] });
    expect([problem.at('/email'), problem.at('/x'), problem.at('/y')]).toEqual(['Zadajte e-mailovú adresu, napríklad jana@obchod.sk.', 'Quite new.', undefined]);
  });
});
