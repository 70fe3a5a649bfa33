import { afterEach, expect, it } from 'vitest';

import { language } from '../../../lib/i18n/index.svelte';

import { findingName, readable, saysWords } from './words';

it('tells times as people read them, and leaves the rest as it is', () => {
  const at = new Date(2026, 10, 28, 15, 4);
  const said = `works; something last came ${at.toISOString()}.`;
  expect(readable(said, new Date(2026, 10, 28, 18), 'de')).toBe('Works; something last came at 15:04.');
  expect(readable(said, new Date(2026, 10, 30, 9), 'de')).toBe('Works; something last came on Sa at 15:04.');
  expect(readable('2026-99-99T99:99:99Z is no time', at, 'de')).toBe('2026-99-99T99:99:99Z is no time');
});

it('has names for what the daemon looks at', () => {
  expect(findingName('token')).toBe('Access token');
  expect(findingName('constructor')).toBeNull();
});

afterEach(() => language.speak('en'));

const AT = '2026-11-28T12:44:00.000Z';
/** What the daemon and its connectors say, with a number, a name or a time where theirs is. */
const SAID = [
  `Works; something last came ${AT}.`, 'Ready; nothing has come since the daemon started.', `A visitor last wrote ${AT}.`,
  'No visitor has written since the daemon started. Put <script> into the pages of the shop.', `A delivery last came ${AT}.`,
  'could not be looked at: 127.0.0.1 cannot be reached', 'the token works for the Page 1029384756', "the Page's events are delivered to the app",
  'the Page 1 is subscribed to the app 2 with all 9 fields', 'the app 2 delivers to https://desk.example/webhooks/x', 'messages are asked for, and no webhook is in the way',
  'Telegram delivers to https://desk.example/webhooks/bot', 'Telegram delivers all kinds of updates that the desk uses', 'Telegram delivers to no address',
  'Telegram delivers to another address: another program with the same token has set it', `Telegram was last asked ${AT}; something last came ${AT}.`,
  `Telegram was last asked ${AT}; nothing has come since the daemon started.`, 'Telegram has not been asked for messages since the daemon started.',
  `3 deliveries were refused for their signature, the last ${AT}. Where Meta sent them, the secret in the configuration is not the one there: copy it anew.`,
  `Facebook reached this daemon ${AT}, and has delivered no message since the daemon started. Write to the shop there to try it.`,
  'the token belongs to another bot than it names: copy it again from @BotFather', "customers' messages do not arrive; not subscribed: messages, message_edits; register the channel",
];

it.each(SAID)('says in the reader’s language what the daemon says: %s', async (said) => {
  const now = new Date(AT);
  expect(saysWords(said, now, 'en')).toBeNull();
  for (const code of ['sk', 'cs', 'pl', 'de'] as const) {
    await language.speak(code);
    const words = saysWords(said, now, code);
    expect(words, code).toBeTruthy();
    expect(words, code).not.toMatch(/undefined|[{}]|2026-11/);
    for (const [part] of said.matchAll(/https:\S+|\b\d{6,}\b|message_edits/g)) if (!said.includes(AT)) expect(words, code).toContain(part);
  }
});

it('leaves to the daemon’s own words what it does not know', async () => {
  await language.speak('sk');
  expect(saysWords('the moon is in the way', new Date(), 'sk')).toBeNull();
  expect(saysWords('Works; something last came yesterday.', new Date(), 'sk')).toBeNull();
});
