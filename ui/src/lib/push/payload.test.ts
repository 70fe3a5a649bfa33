import { describe, expect, it } from 'vitest';

import { addressOf, isDesk, payloadOf, tagOf } from './payload';

const ring = { type: 'ring', id: 'wrk_01', ring: 'rng_01', conversation: 'cnv_01', step: 2, title: 'Jana at Shop on Facebook', body: 'Is it there?' };
const read = (value: unknown) => payloadOf(JSON.stringify(value));

describe('a push', () => {
  it('is read as the daemon sends it', () => {
    expect(read(ring)).toEqual(ring);
    expect(read({ type: 'taken', ring: 'rng_01', conversation: 'cnv_01', step: 2, title: 'x' })).toEqual({ type: 'taken', id: null, ring: 'rng_01', conversation: 'cnv_01' });
    expect(read({ type: 'test', test: 't-1', silent: true })).toEqual({ type: 'test', id: null, test: 't-1', silent: true });
    expect(read({ type: 'test', test: 't-1' })).toEqual({ type: 'test', id: null, test: 't-1', silent: false });
    for (const id of [7, '', 'a b', 'x'.repeat(65), null]) expect(read({ ...ring, id }), String(id)).toMatchObject({ id: null });
  });

  it('is an alarm where it names no conversation', () => {
    expect(read({ ...ring, conversation: null })).toMatchObject({ conversation: null });
    expect(read({ ...ring, conversation: undefined })).toMatchObject({ conversation: null });
  });

  it('is nothing where it cannot be read', () => {
    for (const bad of [undefined, null, '', '{', 'null', '[]', '"ring"', '{"type":"ring"}', '{"type":"ring","ring":"rng_../../users"}', '{"type":"news","ring":"rng_1"}', '{"type":"test"}']) {
      expect(payloadOf(bad), String(bad)).toBeNull();
    }
  });

  it('r09_has no signs in its words that a notification server might obey, and ends somewhere', () => {
    const told = read({ ...ring, title: '\u001b[31mJana\u0007\u202e', body: `two\nlines ${'x'.repeat(5000)}`, step: -3 });
    expect(told).toMatchObject({ title: '[31mJana', step: 1 });
    if (told?.type !== 'ring') throw new Error('a ring');
    expect(told.body.startsWith('two\nlines')).toBe(true);
    expect([...told.body]).toHaveLength(300);
  });
});

it('has one notification a conversation, and one for each alarm', () => {
  expect(tagOf({ ring: 'rng_1', conversation: 'cnv_1' })).toBe('cnv_1');
  expect(tagOf({ ring: 'rng_1', conversation: null })).toBe('rng_1');
});

it('leads to the conversation, the alarm or the devices', () => {
  expect(addressOf({ type: 'ring', ring: 'rng_1', conversation: 'cnv_1' })).toBe('/desk/inbox/open/cnv_1');
  expect(addressOf({ type: 'ring', ring: 'rng_1', conversation: null })).toBe('/desk/bell/rng_1');
  expect(addressOf({ type: 'test', ring: null, conversation: null })).toBe('/desk/settings/devices');
  expect(addressOf({ type: 'word', ring: null, conversation: null })).toBe('/');
});

it('knows a tab of the desk from others of this daemon', () => {
  expect(['/', '/desk', '/desk/inbox/open'].map((path) => isDesk(`http://desk.example${path}`))).toEqual([true, true, true]);
  expect(['/try/website', '/docs', '/deskbell', '/signin'].map((path) => isDesk(`http://desk.example${path}`))).toEqual([false, false, false, false]);
});
