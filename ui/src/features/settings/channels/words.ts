import { t, type Key } from '../../../lib/i18n/index.svelte';

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

export function findingName(what: string): string | null {
  const key = FINDINGS.get(what);
  return key ? t(key) : null;
}
