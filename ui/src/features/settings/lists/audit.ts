/** What the audit log tells, as a line that people read. */

import { settings } from '../../../lib/i18n/en/settings';
import { t, type Key } from '../../../lib/i18n/index.svelte';

/** The kinds of actions, as a filter of the log takes them. */
export const ACTIONS = ['session', 'user', 'team', 'token', 'channel', 'settings', 'contact', 'deletion', 'history', 'backup', 'quarantine', 'device', 'hook', 'label'] as const;

/** `token.created` is "token created"; what the desk has no words for is said as the daemon names it. */
export function actionWords(action: string): string {
  const key = `audit.did.${action}`;
  return Object.hasOwn(settings, key) ? t(key as Key) : action.replaceAll(/[._-]/g, ' ');
}

/** What the daemon calls a thing that it tells, as people call it. */
function keyWords(key: string): string {
  const known = `audit.with.${key}`;
  return Object.hasOwn(settings, known) ? t(known as Key) : key.replaceAll('_', ' ');
}

/** What else is known, as `role: agent · channels: website`. At most 300 characters. */
export function detailWords(detail: Record<string, unknown>): string {
  const words = (value: unknown): string => {
    if (Array.isArray(value)) return value.map(words).join(', ');
    if (typeof value === 'object' && value !== null) return Object.entries(value).map(([key, inner]) => `${key} ${words(inner)}`).join(', ');
    if (typeof value === 'boolean') return t(value ? 'audit.yes' : 'audit.no');
    return String(value);
  };
  const text = Object.entries(detail)
    .filter(([, value]) => value !== null && value !== '' && !(Array.isArray(value) && value.length === 0))
    .map(([key, value]) => `${keyWords(key)}: ${words(value)}`)
    .join(' · ');
  return text.length > 300 ? `${text.slice(0, 299)}…` : text;
}

/** The first moment of a day of this browser's zone, `2026-11-28`, as the daemon takes it; null where it is no day. */
export function beginningOf(day: string): string | null {
  const [year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day)?.slice(1).map(Number) ?? [];
  if (!year || !month || !date) return null;
  return new Date(year, month - 1, date).toISOString();
}

/** The first moment that is no longer that day: days have 23 or 25 hours, too. */
export function endOf(day: string): string | null {
  const [year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day)?.slice(1).map(Number) ?? [];
  if (!year || !month || !date) return null;
  return new Date(year, month - 1, date + 1).toISOString();
}
