import { describe, expect, it } from 'vitest';

import { firstDifference, Ranking, visibleRange } from './ranking';

/** Numbers that look random and are the same each time. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('Ranking', () => {
  it('has the newest first by activity, the oldest first by waiting, and equals by id', () => {
    const activity = new Ranking('activity');
    const waiting = new Ranking('waiting');
    for (const [id, time] of [['b', 2], ['a', 2], ['c', 1], ['d', 3]] as const) {
      activity.put(id, time);
      waiting.put(id, time);
    }
    expect(activity.ids).toEqual(['d', 'b', 'a', 'c']);
    expect(waiting.ids).toEqual(['c', 'a', 'b', 'd']);
  });

  it.each(['activity', 'waiting'] as const)('is as sorting would have it after any changes, by %s', (sort) => {
    const next = numbers(7);
    const ranking = new Ranking(sort);
    const model = new Map<string, number>();
    for (let step = 0; step < 20_000; step += 1) {
      const id = `cnv_${Math.floor(next() * 3_000)}`;
      if (next() < 0.25) {
        expect(ranking.remove(id)).toBe(model.delete(id));
      } else {
        const time = Math.floor(next() * 800);
        expect(ranking.put(id, time)).toBe(model.get(id) !== time);
        model.set(id, time);
      }
    }
    const sign = sort === 'activity' ? -1 : 1;
    const sorted = [...model].sort(([one, oneTime], [other, otherTime]) => sign * (oneTime - otherTime || (one < other ? -1 : 1)));
    expect(ranking.ids).toEqual(sorted.map(([id]) => id));
  });

  it('knows what would stand behind everything', () => {
    const ranking = new Ranking('waiting');
    expect(ranking.isBehindAll('a', 1)).toBe(false);
    ranking.put('b', 5);
    expect(ranking.isBehindAll('a', 5)).toBe(false);
    expect(ranking.isBehindAll('c', 5)).toBe(true);
    expect(ranking.isBehindAll('a', 6)).toBe(true);
  });

  // Machines differ, so the cost is told as a ratio: of a change in a long list to one in a short list.
  it('changes a list of 50,000 at nearly the cost of one of 500', () => {
    const cost = (size: number): number => {
      const next = numbers(3);
      const ranking = new Ranking('activity');
      for (let at = 0; at < size; at += 1) ranking.put(`cnv_${String(at).padStart(6, '0')}`, size - at);
      let best = Infinity;
      for (let round = 0; round < 7; round += 1) {
        const began = performance.now();
        for (let change = 0; change < 2_000; change += 1) ranking.put(`cnv_${String(Math.floor(next() * size)).padStart(6, '0')}`, size + round * 10_000 + change);
        best = Math.min(best, performance.now() - began);
      }
      return best;
    };
    const [short, long] = [cost(500), cost(50_000)];
    // One array, in which everything behind the place moves, has a ratio of 900; sorting anew is far worse.
    expect(long / short).toBeLessThan(40);
  }, 60_000);
});

it('finds where two lists begin to differ', () => {
  expect(firstDifference(['a', 'b'], ['a', 'c'])).toBe(1);
  expect(firstDifference(['a', 'b'], ['a', 'b', 'c'])).toBe(2);
  expect(firstDifference(['a', 'b', 'c'], ['a', 'b', 'd'], 0, 2)).toBe(2);
  expect(firstDifference([], ['a'])).toBe(0);
});

describe('visibleRange', () => {
  it('is what can be seen, and a little more on either side', () => {
    expect(visibleRange(0, 600, 60, 50_000)).toEqual([0, 16]);
    expect(visibleRange(60_000, 600, 60, 50_000)).toEqual([994, 1016]);
    expect(visibleRange(60_030, 600, 60, 50_000)).toEqual([994, 1017]);
  });
  it('ends where the list ends, also when it was longer a moment ago', () => {
    expect(visibleRange(0, 600, 60, 3)).toEqual([0, 3]);
    expect(visibleRange(60_000, 600, 60, 3)).toEqual([3, 3]);
    expect(visibleRange(0, 0, 60, 0)).toEqual([0, 0]);
  });
});
