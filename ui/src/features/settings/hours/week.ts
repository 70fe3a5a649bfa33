export const DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;
export type Day = (typeof DAYS)[number];

/** A part of each week: `to` before `from` is on the day after, `24:00` is its end. */
export interface Span {
  day: Day;
  from: string;
  to: string;
}

/** Hours of each week, by the clocks of a place. */
export interface Week {
  /** An IANA time zone, as `Europe/Prague`. */
  time_zone: string;
  spans: Span[];
}

export interface ChannelHours {
  open?: Week | null;
  after_hours: 'ring' | 'hold' | 'on_call';
  answer?: string | null;
  open_now: boolean;
  changes_at?: string | null;
}

export interface UserHours {
  working?: Week | null;
  quiet?: Week | null;
  on_duty: boolean;
  on_call: boolean;
}

/** What most shops begin with, where this browser is. */
export const usual = (zone = Intl.DateTimeFormat().resolvedOptions().timeZone): Week => ({
  time_zone: zone,
  spans: DAYS.slice(0, 5).map((day) => ({ day, from: '09:00', to: '17:00' })),
});

/** When most people sleep. */
export const nights = (zone = Intl.DateTimeFormat().resolvedOptions().timeZone): Week => ({
  time_zone: zone,
  spans: DAYS.map((day) => ({ day, from: '22:00', to: '07:00' })),
});

/** A field for a time has no `24:00`: midnight as an end is the end of the day. */
export const endOf = (to: string): string => (to === '00:00' ? '24:00' : to);
export const shownEnd = (to: string): string => (to === '24:00' ? '00:00' : to);

export const overnight = (span: Span): boolean => endOf(span.to) < span.from;

/** In the order of the week, and of the day. */
export const sorted = (spans: readonly Span[]): Span[] =>
  [...spans].sort((one, other) => DAYS.indexOf(one.day) - DAYS.indexOf(other.day) || (one.from < other.from ? -1 : one.from > other.from ? 1 : 0));

/** What is wrong with hours before they are sent; null where nothing is. */
export function wrong(week: Week | null): 'empty' | 'bad' | null {
  if (!week) return null;
  if (week.spans.length === 0) return 'empty';
  return week.spans.some((span) => !span.from || !span.to || span.from === endOf(span.to)) ? 'bad' : null;
}

/** Hours in a line: days that have the same are told together, `Mon–Fri 09:00–17:00, Sat 10:00–12:00`. */
export function line(week: Week, name: (day: Day) => string): string {
  const of = (day: Day) => sorted(week.spans.filter((span) => span.day === day)).map(({ from, to }) => `${from}–${to}`).join(' ');
  const parts: string[] = [];
  for (let at = 0; at < DAYS.length; ) {
    const day = DAYS[at] as Day;
    const hours = of(day);
    let end = at;
    while (end + 1 < DAYS.length && of(DAYS[end + 1] as Day) === hours) end += 1;
    if (hours) parts.push(`${at === end ? name(day) : `${name(day)}–${name(DAYS[end] as Day)}`} ${hours}`);
    at = end + 1;
  }
  return parts.join(', ');
}
