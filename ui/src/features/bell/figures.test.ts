import { describe, expect, it } from 'vitest';

import { byChannel, byHour, figures, percentile, took } from './figures';
import type { Ring } from './rings';

const NOW = Date.parse('2026-11-23T18:00:00Z');
let n = 0;
/** Began at this hour of this browser's day, was shown and taken after so many milliseconds. */
function rang(hour: number, shown: number | null, taken: number | null, more: Partial<Ring> = {}): Ring {
  const start = new Date(2026, 10, 23, hour, 30).getTime();
  n += 1;
  return {
    id: `rng_${n}`, conversation_id: `cnv_${n}`, message_id: `msg_${n}`, channel_id: 'website', step: 1, started_at: new Date(start).toISOString(),
    state: taken === null ? 'ended' : 'taken', ended: taken === null ? 'resolved' : null, taken_at: taken === null ? null : new Date(start + taken).toISOString(), taken_by: taken === null ? null : 'usr_1',
    attempts: shown === null ? [] : [{ at: new Date(start + shown).toISOString(), device: 'desk', result: 'shown' }],
    ...more,
  };
}

describe('percentiles', () => {
  it('are values that happened: the nearest rank', () => {
    const ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    expect(percentile(ten, 0.5)).toBe(5);
    expect(percentile(ten, 0.9)).toBe(9);
    expect(percentile(ten, 1)).toBe(10);
    expect(percentile([7], 0.5)).toBe(7);
    expect(percentile([7], 0.9)).toBe(7);
    expect(percentile([], 0.9)).toBeNull();
  });
});

describe('the figures', () => {
  it('tell how soon rings were heard and taken, and how many were not', () => {
    const told = figures([rang(9, 200, 5_000), rang(9, 400, 9_000), rang(10, 900, null), rang(11, null, null)], NOW);
    expect(told).toEqual({ rings: 4, heard: { count: 3, median: 400, p90: 900 }, taken: { count: 2, median: 5_000, p90: 9_000 }, unheard: 1 });
  });

  it('leave alarms out: they are no customer’s', () => {
    expect(figures([rang(9, null, null, { conversation_id: null, kind: 'token' })], NOW)).toMatchObject({ rings: 0, unheard: 0 });
    expect(byChannel([rang(9, null, null, { conversation_id: null })], NOW)).toEqual([]);
  });

  it('say nothing where there is nothing', () => {
    expect(figures([], NOW)).toEqual({ rings: 0, heard: { count: 0, median: null, p90: null }, taken: { count: 0, median: null, p90: null }, unheard: 0 });
  });

  it('go by the hour of this browser’s day', () => {
    const hours = byHour([rang(0, 100, 200), rang(9, 100, 200), rang(9, null, null), rang(23, 100, 200)], NOW + 86_400_000);
    expect(hours).toHaveLength(24);
    expect(hours.flatMap((one, hour) => (one.rings ? [[hour, one.rings, one.unheard]] : []))).toEqual([[0, 1, 0], [9, 2, 1], [23, 1, 0]]);
  });

  it('go by channel, the busiest first', () => {
    const told = byChannel([rang(9, 1, 1), rang(9, 1, 1, { channel_id: 'shop-page' }), rang(9, 1, 1, { channel_id: 'shop-page' })], NOW);
    expect(told.map(({ channel, figures: { rings } }) => [channel, rings])).toEqual([['shop-page', 2], ['website', 1]]);
  });
});

it('says how long something took as people do', () => {
  expect([0, 400, 9_940, 12_400, 59_400, 59_600, 185_000, 599_000, 610_000, 3_599_900, 7_500_000, 86_400_000, 360_000_000].map(took)).toEqual([
    '0.0 s', '0.4 s', '9.9 s', '12 s', '59 s', '1 min', '3 min 5 s', '9 min 59 s', '10 min', '1 h', '2 h 5 min', '1 d', '4 d 4 h',
  ]);
});
