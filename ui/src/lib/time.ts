/** Times as people read them, in their own language and zone. `now` is an argument, so that a test can hold it. */

import { t } from './i18n/index.svelte';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const formats = new Map<string, Intl.DateTimeFormat>();

function format(locale: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const id = locale + JSON.stringify(options);
  let known = formats.get(id);
  if (!known) formats.set(id, (known = new Intl.DateTimeFormat(locale, options)));
  return known;
}

const dayOf = (time: Date) => new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime();

/** The clock: 10:02. */
export const clock = (time: Date, locale: string): string => format(locale, { timeStyle: 'short' }).format(time);

/** The whole time, for tooltips. */
export const whole = (time: Date, locale: string): string => format(locale, { dateStyle: 'full', timeStyle: 'medium' }).format(time);

/** With the capital that a sentence begins with. */
export const sentence = (words: string, locale: string): string => words.charAt(0).toLocaleUpperCase(locale) + words.slice(1);

/** A day as a separator: Today, Yesterday, Sunday, 12 October, 12 October 2025. */
export function day(time: Date, now: Date, locale: string): string {
  const days = Math.round((dayOf(now) - dayOf(time)) / DAY);
  if (days === 0 || days === 1 || days === -1) {
    return sentence(new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(-days, 'day'), locale);
  }
  if (days > 1 && days < 7) return sentence(format(locale, { weekday: 'long' }).format(time), locale);
  const sameYear = time.getFullYear() === now.getFullYear();
  return format(locale, { day: 'numeric', month: 'long', ...(!sameYear && { year: 'numeric' }) }).format(time);
}

/** When something was, as short as can be: the clock today, else the day. */
export function short(time: Date, now: Date, locale: string): string {
  const days = Math.round((dayOf(now) - dayOf(time)) / DAY);
  if (days === 0) return clock(time, locale);
  if (days > 0 && days < 7) return format(locale, { weekday: 'short' }).format(time);
  const sameYear = time.getFullYear() === now.getFullYear();
  return format(locale, { day: 'numeric', month: 'short', ...(!sameYear && { year: '2-digit' }) }).format(time);
}

/** Languages that decline their days: after „do“ a whole one would be wrong, and its short form is always right. */
const DECLINES = new Set(['sk', 'cs', 'pl']);

/** When something will be or end: `Sunday 10:03`, `ne 10:03`, `10:03` today. */
export function until(time: Date, now: Date, locale: string): string {
  const days = Math.round((dayOf(time) - dayOf(now)) / DAY);
  if (days === 0) return clock(time, locale);
  if (days > 0 && days < 7) return `${format(locale, { weekday: DECLINES.has(locale) ? 'short' : 'long' }).format(time)} ${clock(time, locale)}`;
  return `${format(locale, { day: 'numeric', month: 'short' }).format(time)} ${clock(time, locale)}`;
}

/** How long somebody waits: `12 s`, `1 m 12 s`, `14 min`, `2 h 5 min`, `3 d`. */
export function waiting(since: Date, now: Date): string {
  const passed = Math.max(0, now.getTime() - since.getTime());
  const seconds = Math.floor(passed / 1000);
  if (seconds < 60) return t('time.seconds', { seconds });
  if (passed < 3 * MINUTE) return t('time.minutesSeconds', { minutes: Math.floor(seconds / 60), seconds: seconds % 60 });
  if (passed < HOUR) return t('time.minutes', { minutes: Math.floor(passed / MINUTE) });
  if (passed < DAY) {
    const minutes = Math.floor((passed % HOUR) / MINUTE);
    const hours = Math.floor(passed / HOUR);
    return minutes ? t('time.hoursMinutes', { hours, minutes }) : t('time.hours', { hours });
  }
  return t('time.days', { days: Math.floor(passed / DAY) });
}

/** How long until what is shown changes, so that nothing ticks for nothing: in milliseconds. */
export function nextTick(since: Date, now: Date): number {
  return now.getTime() - since.getTime() < 3 * MINUTE ? 1000 : 15_000;
}
