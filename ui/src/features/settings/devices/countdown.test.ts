import { expect, it } from 'vitest';

import { left, newcomer } from './countdown';

const at = (text: string) => new Date(`2026-11-28T09:${text}.000Z`);

it('counts down to the second, and says when it is over', () => {
  expect(left('2026-11-28T09:10:00.000Z', at('00:00'))).toBe('10:00');
  expect(left('2026-11-28T09:10:00.000Z', at('00:55'))).toBe('9:05');
  expect(left('2026-11-28T09:10:00.000Z', at('09:59'))).toBe('0:01');
  expect(left('2026-11-28T09:10:00.000Z', at('10:00'))).toBeNull();
  expect(left('no time', at('00:00'))).toBeNull();
});

it('knows a companion that has come since, and no browser', () => {
  const devices = [{ id: 'dev_1', kind: 'desktop' }, { id: 'dev_2', kind: 'web-push' }, { id: 'dev_3', kind: 'desktop' }];
  expect(newcomer(new Set(['dev_1']), devices)?.id).toBe('dev_3');
  expect(newcomer(new Set(['dev_1', 'dev_3']), devices)).toBeUndefined();
});
