import { describe, expect, it } from 'vitest';

import { broken, strength } from './password';

describe('the words for a password', () => {
  it.each([
    ['', 'empty'],
    ['abc', 'short'],
    ['123456789', 'short'],
    ['1234567890', 'weak'],
    ['aaaaaaaaaaaaaaaa', 'weak'],
    ['password123', 'weak'],
    ['Password1234', 'weak'],
    ['qwertyuiop', 'weak'],
    ['ana@shop.example', 'weak'],
    ['kettle moon 42 harbour', 'strong'],
    ['correct-horse-battery-staple', 'strong'],
    ['žltýkôňúpel', 'fair'],
  ])('%j is %s', (password, word) => {
    expect(strength(password, 'ana@shop.example')).toBe(word);
  });

  it('grows with length', () => {
    const order = ['weak', 'fair', 'good', 'strong'];
    const words = ['tr4m-qbvzk', 'tr4m-qbvzkwp', 'tr4m-qbvzkwpnxe', 'tr4m-qbvzkwpnxe-hud9'].map((one) => order.indexOf(strength(one)));
    expect(words).toEqual([...words].sort());
    expect(new Set(words).size).toBeGreaterThan(2);
  });

  it('counts characters, not code units', () => {
    expect(broken('🙂🙂🙂🙂🙂')).toBe('short');
    expect(broken('x'.repeat(201))).toBe('long');
    expect(broken('x'.repeat(200))).toBeNull();
    expect(broken('Ana@Shop.example', 'ana@shop.EXAMPLE')).toBe('email');
  });
});
