import { expect, it } from 'vitest';

import { snoozeChoices } from './snooze';

const at = (text: string) => new Date(text);
const told = (now: string) => snoozeChoices(at(now)).map(({ key, time }) => `${key} ${time.toString().slice(0, 21)}`);

it('offers the usual times, soonest first', () => {
  // A Wednesday.
  expect(told('2026-11-25T10:30:00')).toEqual([
    'snooze.hour Wed Nov 25 2026 11:30', 'snooze.threeHours Wed Nov 25 2026 13:30', 'snooze.evening Wed Nov 25 2026 18:00',
    'snooze.tomorrow Thu Nov 26 2026 09:00', 'snooze.monday Mon Nov 30 2026 09:00', 'snooze.nextWeek Wed Dec 02 2026 09:00',
  ]);
});

it('has no evening in the evening, and no Monday twice', () => {
  expect(told('2026-11-29T19:00:00').map((words) => words.split(' ')[0])).toEqual(['snooze.hour', 'snooze.threeHours', 'snooze.tomorrow', 'snooze.nextWeek']);
});

it('means the Monday to come on a Monday', () => {
  expect(told('2026-11-30T08:00:00')).toContain('snooze.nextWeek Mon Dec 07 2026 09:00');
});

it('offers nothing that has passed', () => {
  for (let hour = 0; hour < 24 * 14; hour += 1) {
    const now = new Date(2026, 10, 20, hour, 20);
    const times = snoozeChoices(now).map(({ time }) => time.getTime());
    for (const time of times) expect(time).toBeGreaterThan(now.getTime());
    expect(times).toEqual([...times].sort((one, other) => one - other));
  }
});
