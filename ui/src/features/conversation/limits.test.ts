import { describe, expect, it } from 'vitest';

import { countChars, fillOf, limitsOf, MOST_CHARS, sizeOf } from './limits';

describe('limits', () => {
  it('are the channel’s for a reply and only the daemon’s for a note', () => {
    expect(limitsOf({ text_limit: 1000 }, false).chars).toBe(1000);
    expect(limitsOf({ text_limit: 1000 }, true).chars).toBeNull();
    expect(limitsOf({ text_limit: null }, false).chars).toBeNull();
    expect(limitsOf(undefined, false).chars).toBeNull();
  });

  it('count as the daemon does', () => {
    expect(countChars('Dobrý deň')).toBe(9);
    expect(countChars('📦📦')).toBe(2);
    expect(countChars('👩‍👧')).toBe(3);
  });

  it('speak up near the end', () => {
    const limits = limitsOf({ text_limit: 1000 }, false);
    expect([0, 900, 901, 1000, 1001].map((count) => fillOf(count, limits))).toEqual(['plain', 'plain', 'near', 'near', 'over']);
    expect(fillOf(50, limitsOf({ text_limit: null }, false))).toBe('hidden');
    expect(fillOf(MOST_CHARS + 1, limitsOf(undefined, true))).toBe('over');
  });

  it('say sizes as people do', () => {
    expect([0, 999, 48_211, 1_234_567, 25 * 1024 * 1024].map((bytes) => sizeOf(bytes))).toEqual(['0 B', '999 B', '48 kB', '1.2 MB', '26 MB']);
  });
});
