import { t, type Key } from '../../../lib/i18n/index.svelte';
import { clock, sentence, short } from '../../../lib/time';

/** The daemon's names of what it looks at. */
const FINDINGS = new Map<string, Key>([
  ['token', 'channel.finding.token'],
  ['subscription', 'channel.finding.subscription'],
  ['callback', 'channel.finding.callback'],
  ['address', 'channel.finding.address'],
  ['webhook', 'channel.finding.webhook'],
  ['webhook_address', 'channel.finding.webhook'],
  ['webhook_updates', 'channel.finding.updates'],
  ['deliveries', 'channel.finding.deliveries'],
  ['catch-up', 'channel.finding.history'],
  ['history', 'channel.finding.history'],
  ['poll', 'channel.finding.poll'],
  ['registration', 'channel.finding.registration'],
  ['fields', 'channel.finding.updates'],
]);

/**
 * The daemon's sentences with their times as people read them: it writes `2026-11-28T05:50:19.722Z`. They are English, and
 * so are the words that are put in them.
 */
export const readable = (text: string, now: Date, locale: string): string => {
  const told = text.replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (time) => {
    const at = new Date(time);
    if (Number.isNaN(at.getTime())) return time;
    const clocked = clock(at, locale);
    return at.toDateString() === now.toDateString() ? `at ${clocked}` : `on ${short(at, now, locale)} at ${clocked}`;
  });
  return sentence(told, locale);
};

export function findingName(what: string): string | null {
  const key = FINDINGS.get(what);
  return key ? t(key) : null;
}

/**
 * The daemon's sentences about a channel have no codes. Those that people meet most are known by their form; the names say
 * what the parts in brackets are.
 */
const SAYS: readonly (readonly [form: RegExp, key: Key, ...names: string[]])[] = [
  [/^Works; something last came (\S+Z)\.$/, 'channel.says.works', 'at'],
  [/^Ready; nothing has come since the daemon started\.$/, 'channel.says.ready'],
  [/^A visitor last wrote (\S+Z)\.$/, 'channel.says.visitor', 'at'],
  [/^No visitor has written since the daemon started\./, 'channel.says.noVisitor'],
  [/^A delivery last came (\S+Z)\.$/, 'channel.says.delivery', 'at'],
  [/^could not be looked at: (.+)$/, 'channel.says.unknown', 'why'],
  [/^the token works for (?:the Page )?(.+)$/, 'channel.says.token', 'name'],
  [/^the Page's events are delivered to the app$/, 'channel.says.page'],
  [/^the Page (\S+) is subscribed to the app (\S+) with all (\d+) fields$/, 'channel.says.subscribed', 'page', 'app', 'n'],
  [/^the app (\S+) delivers to (\S+)$/, 'channel.says.app', 'app', 'address'],
  [/^messages are asked for, and no webhook is in the way$/, 'channel.says.asks'],
  [/^Telegram delivers to (https?:\S+)$/, 'channel.says.telegram', 'address'],
  [/^Telegram delivers all kinds of updates that the desk uses$/, 'channel.says.telegramAll'],
  [/^Telegram delivers to no address$/, 'channel.says.telegramNowhere'],
  [/^Telegram delivers to another address: another program/, 'channel.says.telegramOther'],
  [/^(.+) was last asked (\S+Z); something last came (\S+Z)\.$/, 'channel.says.asked', 'platform', 'at', 'came'],
  [/^(.+) was last asked (\S+Z); nothing has come since the daemon started\.$/, 'channel.says.askedNothing', 'platform', 'at'],
  [/^(.+) has not been asked for messages since the daemon started\.$/, 'channel.says.notAsked', 'platform'],
  [/^(\d+) deliveries were refused for their signature, the last (\S+Z)\. Where (.+?) sent them,/, 'channel.says.signature', 'n', 'at', 'platform'],
  [/^(.+) reached this daemon (\S+Z), and has delivered no message/, 'channel.says.reached', 'platform', 'at'],
  [/^(?:page_access_token belongs to |the token belongs to another bot)/, 'channel.says.otherPage'],
  [/^customers' messages do not arrive; not subscribed: (.+?); /, 'channel.says.notSubscribed', 'what'],
];

/** A sentence of the daemon's in the reader's language; null where that is English, or the sentence is not known. */
export function saysWords(say: string, now: Date, locale: string): string | null {
  if (locale === 'en') return null;
  const moment = (text: string) => {
    const at = new Date(text);
    if (!/^\d{4}-\d\d-\d\dT\S+Z$/.test(text) || Number.isNaN(at.getTime())) return text;
    return at.toDateString() === now.toDateString() ? clock(at, locale) : `${short(at, now, locale)} ${clock(at, locale)}`;
  };
  for (const [form, key, ...names] of SAYS) {
    const found = form.exec(say);
    if (found) return t(key, Object.fromEntries(names.map((name, n) => [name, moment(found[n + 1] ?? '')])));
  }
  return null;
}
