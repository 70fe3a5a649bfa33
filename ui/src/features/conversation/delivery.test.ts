import { describe, expect, it } from 'vitest';

import type { Message } from '../../lib/api/client';
import { deliveryWords } from './delivery';

const at = '2026-11-21T10:00:00.000Z';
const now = () => Date.parse(at) + 5_000;
const words = (state: NonNullable<Message['delivery']>['state'], more: { detail?: string; metadata?: object; later?: number } = {}) =>
  deliveryWords(
    { delivery: { state, at, error: more.detail ? { code: '1', detail: more.detail, retryable: true } : null }, metadata: (more.metadata ?? {}) as Message['metadata'] },
    'Instagram',
    () => now() + (more.later ?? 0),
  );

describe('the delivery in words', () => {
  it.each(['queued', 'sent', 'delivered', 'read'] as const)('%s asks for nothing', (state) => expect(words(state)?.actions).toEqual([]));
  it('says when it takes long', () => {
    expect(words('queued')?.tone).toBe('quiet');
    expect(words('queued', { later: 120_000 })?.tone).toBe('unsure');
  });
  it('says why it failed, and offers to try again', () => {
    const failed = words('failed', { detail: 'The file is larger than Instagram takes.' });
    expect(failed?.text).toBe('not sent: The file is larger than Instagram takes');
    expect(failed?.tone).toBe('bad');
    expect(failed?.actions).toEqual(['retry', 'dismiss']);
  });
  it('does not claim to know what nobody knows', () => {
    const unknown = words('unknown');
    expect(unknown?.text).toContain('may have arrived');
    expect(unknown?.actions).toEqual(['arrived', 'again']);
  });
  it('is quiet about what was dismissed', () => {
    expect(words('failed', { detail: 'x', metadata: { dismissed: true } })).toEqual({ text: 'not sent', tone: 'quiet', actions: [] });
    expect(words('unknown', { metadata: { dismissed: true } })?.actions).toEqual([]);
  });
  it('is nothing for what is not sent', () => expect(deliveryWords({ delivery: null, metadata: {} }, 'x')).toBeNull());
});
