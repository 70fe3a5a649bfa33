import type { Key } from '../../lib/i18n/index.svelte';

export interface SnoozeChoice {
  key: Key;
  time: Date;
}

const HOUR = 3_600_000;
const MORNING = 9;
const EVENING = 18;

function at(now: Date, days: number, hour: number): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, hour);
}

/** When a conversation can be had back, soonest first: the usual times, in the reader's zone. */
export function snoozeChoices(now: Date): SnoozeChoice[] {
  const evening = at(now, 0, EVENING);
  const monday = at(now, ((8 - now.getDay()) % 7) || 7, MORNING);
  const tomorrow = at(now, 1, MORNING);
  const choices: SnoozeChoice[] = [
    { key: 'snooze.hour', time: new Date(now.getTime() + HOUR) },
    { key: 'snooze.threeHours', time: new Date(now.getTime() + 3 * HOUR) },
    { key: 'snooze.tomorrow', time: tomorrow },
    { key: 'snooze.nextWeek', time: at(now, 7, MORNING) },
  ];
  // An evening that is nearly here is what the hours are for.
  if (evening.getTime() - now.getTime() > HOUR) choices.push({ key: 'snooze.evening', time: evening });
  if (monday.getTime() !== tomorrow.getTime()) choices.push({ key: 'snooze.monday', time: monday });
  const seen = new Set<number>();
  return choices
    .sort((one, other) => one.time.getTime() - other.time.getTime())
    .filter(({ time }) => !seen.has(time.getTime()) && seen.add(time.getTime()));
}
