import { expect, it } from 'vitest';

import { nameOf, readable, titleOf, usual } from './hooks';

it('is called by its host, without what may be a secret', () => {
  expect(nameOf('https://hooks.slack.example/services/T0001/B0002/abcdefghijklmnop')).toBe('hooks.slack.example/…ijklmnop');
  expect(nameOf('https://ntfy.example/shop')).toBe('ntfy.example/…shop');
  expect(nameOf('https://erp.example')).toBe('erp.example');
  expect(nameOf('notify.sh')).toBe('notify.sh');
});

it('calls a command by its name in the file', () => {
  expect(titleOf({ command: 'lamp', url: '/usr/local/bin/lamp' })).toBe('lamp');
  expect(titleOf({ command: null, url: 'https://erp.example' })).toBe('erp.example');
});

it('shows JSON with its lines, and everything else as it is', () => {
  expect(readable('{"type":"test"}')).toBe('{\n  "type": "test"\n}');
  expect(readable('Jana writes')).toBe('Jana writes');
});

it('rings phones, and tells programs what is written', () => {
  expect([usual('webhook'), usual('ntfy'), usual('teams')]).toEqual([['message.created'], ['bell.rung'], ['bell.rung']]);
});
