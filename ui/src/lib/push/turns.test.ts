import { describe, expect, it, vi } from 'vitest';

import { Turns } from './turns';

const rest = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

describe('turns', () => {
  it('f36 lets nothing overlap, keeps the order, and gives to each what is its own', async () => {
    const turns = new Turns(1_000);
    const seen: string[] = [];
    const step = (name: string, milliseconds: number) => async () => {
      seen.push(`${name} begins`);
      await rest(milliseconds);
      seen.push(`${name} ends`);
      return name;
    };
    const all = await Promise.all([turns.take(step('a', 9)), turns.take(step('b', 1)), turns.take(step('c', 3))]);
    expect(all).toEqual(['a', 'b', 'c']);
    expect(seen).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('goes on behind what fails, at once or later', async () => {
    const turns = new Turns(1_000);
    const failing = [
      turns.take(async () => Promise.reject(new Error('later'))),
      turns.take(() => {
        throw new Error('at once');
      }),
    ];
    await expect(turns.take(async () => 'through')).resolves.toBe('through');
    await expect(failing[0]).rejects.toThrow('later');
    await expect(failing[1]).rejects.toThrow('at once');
  });

  it('waits so long for what hangs, from its own turn on, and no longer', async () => {
    vi.useFakeTimers();
    try {
      const turns = new Turns(1_000);
      const seen: string[] = [];
      void turns.take(() => new Promise(() => {}));
      void turns.take(async () => {
        seen.push('second');
        await rest(900);
        seen.push('done');
      });
      void turns.take(async () => seen.push('third'));
      await vi.advanceTimersByTimeAsync(999);
      expect(seen).toEqual([]);
      await vi.advanceTimersByTimeAsync(1);
      expect(seen).toEqual(['second']);
      await vi.advanceTimersByTimeAsync(899);
      expect(seen).toEqual(['second']);
      await vi.advanceTimersByTimeAsync(1);
      expect(seen).toEqual(['second', 'done', 'third']);
    } finally {
      vi.useRealTimers();
    }
  });
});
