import { expect, it } from 'vitest';

import { findingName, readable } from './words';

it('tells times as people read them, and leaves the rest as it is', () => {
  const at = new Date(2026, 10, 28, 15, 4);
  const said = `works; something last came ${at.toISOString()}.`;
  expect(readable(said, new Date(2026, 10, 28, 18), 'de')).toBe('Works; something last came at 15:04.');
  expect(readable(said, new Date(2026, 10, 30, 9), 'de')).toBe('Works; something last came on Sa at 15:04.');
  expect(readable('2026-99-99T99:99:99Z is no time', at, 'de')).toBe('2026-99-99T99:99:99Z is no time');
});

it('has names for what the daemon looks at', () => {
  expect(findingName('token')).toBe('Access token');
  expect(findingName('constructor')).toBeNull();
});
