import { afterEach, expect, it } from 'vitest';

import { language } from '../../lib/i18n/index.svelte';
import { alarmTitle } from './alarms';

afterEach(() => language.speak('en'));

/** The daemon's titles by kind, and what of them has to be in every language. */
const SAID: [kind: string, title: string, parts: string[]][] = [
  ['nobody', 'A customer waits in Shop, and nobody may answer there', ['Shop']],
  ['nobody', 'A customer waits in Shop, and nobody is on duty', ['Shop']],
  ['device', 'A customer waits in Shop, and nothing has shown it', ['Shop']],
  ['device', 'Ana of Nitra is on call and cannot be rung', ['Ana of Nitra']],
  ['device', 'Firefox on Linux of Ana does not ring', ['Firefox on Linux', 'Ana']],
  ['device', 'Firefox on Linux of Ana has not shown for a day that it rings', ['Firefox on Linux', 'Ana']],
  ['channel', 'Shop does not work', ['shop']], ['undelivered', 'Shop did not deliver 3 message(s)', ['shop']], ['silence', 'Nothing comes in Shop', ['shop']],
  ['disk', 'The disk is nearly full', []], ['lag', 'The search does not keep up', []], ['lag', 'Browsers are told too late that it rings', []],
  ['certificate', 'The TLS certificate ends soon', []], ['certificate', 'The TLS certificate has ended', []],
];

it('says in the reader’s language what is wrong, each thing in words of its own', async () => {
  for (const [kind, title] of SAID) expect(alarmTitle({ kind, title, channel_id: 'shop' })).toBe(title);
  for (const code of ['sk', 'cs', 'pl', 'de'] as const) {
    await language.speak(code);
    const words = SAID.map(([kind, title]) => alarmTitle({ kind, title, channel_id: 'shop' }));
    // Two ways in which nobody is there are one to a person.
    expect(new Set(words).size, code).toBe(SAID.length - 1);
    SAID.forEach(([, title, parts], n) => {
      expect(words[n], code).not.toBe(title);
      expect(words[n], code).not.toMatch(/[{}]|undefined/);
      for (const part of parts) expect(words[n], code).toContain(part);
    });
  }
});

it('says what it does not know as it came, and something where nothing came', async () => {
  await language.speak('sk');
  expect(alarmTitle({ kind: 'quite-new', title: 'Quite new' })).toBe('Quite new');
  expect(alarmTitle({ kind: 'constructor', title: '' })).toBe('Zvonček vás potrebuje');
  expect(alarmTitle({ kind: 'disk', title: 'In other words' })).toBe('Disk je takmer plný');
});
