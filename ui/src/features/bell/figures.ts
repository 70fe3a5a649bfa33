import { language, t } from '../../lib/i18n/index.svelte';
import { heardAfter, isAlarm, takenAfter, unheard, type Ring } from './rings';

/** So many rings are read for the figures at the most; the page says so where there are more. */
export const MOST = 1000;

/** How far back they look, in hours. */
export const SPANS = [24, 168, 720] as const;
export type Span = (typeof SPANS)[number];

/** Of some rings: how many, how soon they were heard and taken, and how many nobody heard. Times are in milliseconds. */
export interface Figures {
  rings: number;
  heard: Spread;
  taken: Spread;
  unheard: number;
}

/** `null` where there is nothing to say anything about. */
export interface Spread {
  count: number;
  median: number | null;
  p90: number | null;
}

/** The smallest of the values that so large a part of all is not above: what really happened, nothing in between. */
export function percentile(sorted: readonly number[], part: number): number | null {
  if (sorted.length === 0) return null;
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? null;
}

function spread(values: (number | null)[]): Spread {
  const sorted = values.filter((value): value is number => value !== null && Number.isFinite(value)).sort((one, other) => one - other);
  return { count: sorted.length, median: percentile(sorted, 0.5), p90: percentile(sorted, 0.9) };
}

/** The figures of these rings. Alarms are the bell's own, and no customer's: they are left out. */
export function figures(rings: readonly Ring[], now: number): Figures {
  const own = rings.filter((ring) => !isAlarm(ring));
  return {
    rings: own.length,
    heard: spread(own.map(heardAfter)),
    taken: spread(own.map(takenAfter)),
    unheard: own.filter((ring) => unheard(ring, now)).length,
  };
}

/** By the hour of the day at which they began, by this browser's clock: always 24. */
export function byHour(rings: readonly Ring[], now: number): Figures[] {
  const hours: Ring[][] = Array.from({ length: 24 }, () => []);
  for (const ring of rings) hours[new Date(ring.started_at).getHours()]?.push(ring);
  return hours.map((own) => figures(own, now));
}

/** By channel, the one with the most rings first. */
export function byChannel(rings: readonly Ring[], now: number): { channel: string; figures: Figures }[] {
  const channels = new Map<string, Ring[]>();
  for (const ring of rings) {
    if (isAlarm(ring) || !ring.channel_id) continue;
    const own = channels.get(ring.channel_id);
    if (own) own.push(ring);
    else channels.set(ring.channel_id, [ring]);
  }
  return [...channels]
    .map(([channel, own]) => ({ channel, figures: figures(own, now) }))
    .sort((one, other) => other.figures.rings - one.figures.rings || one.channel.localeCompare(other.channel, language.code));
}

/** How long something took, as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`. */
export function took(milliseconds: number): string {
  const passed = milliseconds / 1000;
  if (passed < 9.95) return t('time.seconds', { seconds: passed.toLocaleString(language.code, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) });
  const whole = Math.round(passed);
  if (passed < 59.5) return t('time.seconds', { seconds: whole });
  if (whole < 3600) {
    const [minutes, seconds] = [Math.floor(whole / 60), whole < 600 ? whole % 60 : 0];
    return seconds ? t('time.tookMinutes', { minutes, seconds }) : t('time.minutes', { minutes });
  }
  const all = Math.round(passed / 60);
  if (all < 24 * 60) {
    const [hours, minutes] = [Math.floor(all / 60), all % 60];
    return minutes ? t('time.hoursMinutes', { hours, minutes }) : t('time.hours', { hours });
  }
  const inHours = Math.round(all / 60);
  const [days, hours] = [Math.floor(inHours / 24), inHours % 24];
  return hours ? t('time.daysHours', { days, hours }) : t('time.days', { days });
}
