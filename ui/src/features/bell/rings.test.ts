import { describe, expect, it } from 'vitest';

import { bySteps, failures, fits, heardAfter, isHeld, newestFirst, NO_FILTER, placed, takenAfter, tellings, unheard, type Attempt, type Ring } from './rings';

const START = Date.parse('2026-11-23T09:00:00.000Z');
const at = (ms: number) => new Date(START + ms).toISOString();
const attempt = (ms: number, result: Attempt['result'], more: Partial<Attempt> = {}): Attempt => ({ at: at(ms), user_id: 'usr_ana', device: 'web-push', device_id: 'dev_1', result, detail: null, ...more });
const ring = (more: Partial<Ring> = {}): Ring => ({ id: 'rng_1', conversation_id: 'cnv_1', message_id: 'msg_1', channel_id: 'website', state: 'ringing', step: 1, started_at: at(0), attempts: [], ...more });

describe('heard', () => {
  it('is when the first device showed it, whatever the order of the attempts', () => {
    expect(heardAfter(ring({ attempts: [attempt(900, 'shown'), attempt(400, 'shown'), attempt(100, 'sent'), attempt(50, 'failed')] }))).toBe(400);
  });

  it('is not what was only sent, or failed', () => {
    expect(heardAfter(ring({ attempts: [attempt(100, 'sent'), attempt(200, 'failed'), attempt(300, 'expired')] }))).toBeNull();
  });

  it('is never before it began, though a clock may say so', () => {
    expect(heardAfter(ring({ attempts: [attempt(-5000, 'shown')] }))).toBe(0);
    expect(takenAfter(ring({ state: 'taken', taken_at: at(-1), taken_by: 'usr_ana' }))).toBe(0);
  });
});

describe('unheard', () => {
  const now = START + 10 * 60_000;

  it('is what ended or rang for a minute and no device showed', () => {
    expect(unheard(ring({ state: 'ended', ended: 'resolved' }), now)).toBe(true);
    expect(unheard(ring({ state: 'ended', ended: 'snoozed', attempts: [attempt(10, 'failed')] }), now)).toBe(true);
    expect(unheard(ring(), START + 60_001)).toBe(true);
    expect(unheard(ring(), START + 59_999)).toBe(false);
  });

  it('is not what waits for its channel to open, which counts from then on', () => {
    const held = ring({ step: 0, held_until: at(3_600_000) });
    expect(isHeld(held, now)).toBe(true);
    expect(unheard(held, now)).toBe(false);
    const open = { ...held, step: 1 };
    expect(isHeld(open, START + 3_600_001)).toBe(false);
    expect(unheard(open, START + 3_600_000 + 60_001)).toBe(true);
    expect(heardAfter({ ...open, attempts: [attempt(3_600_500, 'shown')] })).toBe(500);
  });

  it('is not what was shown, taken, answered or taken back', () => {
    expect(unheard(ring({ state: 'ended', ended: 'resolved', attempts: [attempt(10, 'shown')] }), now)).toBe(false);
    expect(unheard(ring({ state: 'taken', taken_at: at(5), taken_by: 'tok_1' }), now)).toBe(false);
    expect(unheard(ring({ state: 'ended', ended: 'answered' }), now)).toBe(false);
    expect(unheard(ring({ state: 'ended', ended: 'withdrawn' }), now)).toBe(false);
  });
});

describe('the list', () => {
  const older = ring({ id: 'rng_0', started_at: at(-60_000) });
  const newer = ring({ id: 'rng_2', started_at: at(60_000) });

  it('has the newest first, by id where they began together', () => {
    expect([older, ring({ id: 'rng_1b' }), newer, ring()].sort(newestFirst).map(({ id }) => id)).toEqual(['rng_2', 'rng_1b', 'rng_1', 'rng_0']);
  });

  it('replaces what is there, adds what is new, and drops what no longer fits', () => {
    const list = [newer, older];
    expect(placed(list, ring(), true, true).map(({ id }) => id)).toEqual(['rng_2', 'rng_1', 'rng_0']);
    expect(placed(list, { ...older, state: 'taken' }, true, true)[1]?.state).toBe('taken');
    expect(placed(list, older, false, true).map(({ id }) => id)).toEqual(['rng_2']);
    expect(placed(list, ring(), false, true)).toEqual(list);
  });

  it('leaves to its page what is older than everything that was read', () => {
    expect(placed([newer, ring()], older, true, false).map(({ id }) => id)).toEqual(['rng_2', 'rng_1']);
    expect(placed([], older, true, false).map(({ id }) => id)).toEqual(['rng_0']);
  });

  it('is filtered by state, channel and days, of which the last is left out', () => {
    const one = ring();
    expect(fits(one, NO_FILTER, null, null)).toBe(true);
    expect(fits(one, { ...NO_FILTER, state: 'taken' }, null, null)).toBe(false);
    expect(fits(one, { ...NO_FILTER, channel: 'shop-page' }, null, null)).toBe(false);
    expect(fits(one, NO_FILTER, START, START + 1)).toBe(true);
    expect(fits(one, NO_FILTER, START + 1, null)).toBe(false);
    expect(fits(one, NO_FILTER, null, START)).toBe(false);
  });
});

describe('the story', () => {
  it('makes one line of what was sent to a device and shown there', () => {
    const lines = tellings([attempt(0, 'sent'), attempt(300, 'shown')]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ sentAt: at(0), shownAt: at(300), failedAt: null, result: 'shown' });
  });

  it('tells a failure with its reason, and the next try as another line', () => {
    const lines = tellings([attempt(0, 'sent'), attempt(200, 'failed', { detail: '410 Gone' }), attempt(60_000, 'sent')]);
    expect(lines.map(({ result, detail }) => [result, detail])).toEqual([['failed', '410 Gone'], ['sent', null]]);
  });

  it('keeps devices and people apart, though their attempts alternate', () => {
    const lines = tellings([attempt(0, 'sent'), attempt(1, 'sent', { user_id: 'usr_bob', device_id: 'dev_2' }), attempt(2, 'shown', { user_id: 'usr_bob', device_id: 'dev_2' }), attempt(3, 'shown')]);
    expect(lines.map(({ user, shownAt }) => [user, shownAt])).toEqual([['usr_ana', at(3)], ['usr_bob', at(2)]]);
    expect(new Set(lines.map(({ key }) => key)).size).toBe(2);
  });

  it('goes step by step: as the daemon says, else by the usual times and no further than the ring came', () => {
    const steps = (more: Partial<Ring>) => bySteps(ring(more)).map(({ step, lines }) => [step, lines.length]);
    expect(steps({ step: 3, attempts: [attempt(0, 'sent'), attempt(10, 'shown'), attempt(60_000, 'sent'), attempt(301_000, 'sent')] })).toEqual([[1, 1], [2, 1], [3, 1]]);
    expect(steps({ step: 1, attempts: [attempt(3_600_000, 'shown')] })).toEqual([[1, 1]]);
    expect(steps({ step: 4, attempts: [attempt(0, 'sent', { step: 4 })] })).toEqual([[4, 1]]);
    // Shown late, it belongs to the step at which it was sent.
    expect(steps({ step: 2, attempts: [attempt(0, 'sent'), attempt(70_000, 'shown')] })).toEqual([[1, 1]]);
  });

  it('counts what failed or expired', () => {
    expect(failures(ring({ attempts: [attempt(0, 'sent'), attempt(1, 'failed'), attempt(2, 'expired'), attempt(3, 'shown')] }))).toHaveLength(2);
  });
});
