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
