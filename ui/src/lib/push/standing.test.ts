import { describe, expect, it, vi } from 'vitest';

import { sameKey, standing, type Abilities } from './standing';
import { TooLate, within } from './within';

const ABLE: Abilities = { secure: true, worker: true, push: true, notifications: true, permission: 'granted', apple: false, subscribed: true };

describe('how a browser stands to push', () => {
  it('is on where it may and is a device', () => {
    expect(standing(ABLE)).toBe('on');
    expect(standing({ ...ABLE, subscribed: false })).toBe('off');
    expect(standing({ ...ABLE, permission: 'default' })).toBe('off');
  });

  it('says first what has to be mended first', () => {
    expect(standing({ ...ABLE, secure: false, worker: false, permission: 'denied' })).toBe('insecure');
    expect(standing({ ...ABLE, permission: 'denied' })).toBe('denied');
    expect(standing({ ...ABLE, push: false, permission: 'denied' })).toBe('unsupported');
    expect(standing({ ...ABLE, push: false, apple: true })).toBe('homescreen');
    expect(standing({ ...ABLE, apple: true })).toBe('on');
  });

  it('compares keys byte by byte', () => {
    const key = new Uint8Array([4, 1, 2]);
    expect(sameKey(new Uint8Array([4, 1, 2]).buffer, key)).toBe(true);
    expect(sameKey(new Uint8Array([4, 1, 3]).buffer, key)).toBe(false);
    expect(sameKey(new Uint8Array([4, 1]).buffer, key)).toBe(false);
    expect(sameKey(null, key)).toBe(false);
  });
});

describe('waiting', () => {
  it('ends where what is waited for never does', async () => {
    vi.useFakeTimers();
    const waited = within(20_000, new Promise(() => {})).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await waited).toBeInstanceOf(TooLate);
    vi.useRealTimers();
  });

  it('gives what came, or what went wrong', async () => {
    expect(await within(1_000, Promise.resolve(7))).toBe(7);
    await expect(within(1_000, Promise.reject(new Error('no')))).rejects.toThrow('no');
  });
});
