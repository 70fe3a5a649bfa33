// @vitest-environment node
import { describe, expect, it } from 'vitest';

import { DEFAULTS, GAP_MS, Policy, preferencesOf, quietUntil, type Preferences, type Ring, type Ringing } from './policy';
import { ringingOf } from './things';

const START = Date.parse('2026-11-21T10:00:00Z');
const loud: Preferences = { ...DEFAULTS };

const chat = (id: string, more: Partial<Ringing> = {}): Ringing => ({ id, class: 'chat', untaken: true, newest: `msg_${id}_1`, since: START, reached: '', escalated: false, ...more });

/** Lets the time pass as an alarm would, and gives all that sounded: seconds after the start, the sound, its step. */
function listen(policy: Policy, from: number, seconds: number, preferences = loud, meanwhile: (at: number) => void = () => {}): [number, Ring][] {
  const heard: [number, Ring][] = [];
  for (let at = from; at <= from + seconds * 1000; at += 250) {
    meanwhile(at);
    const next = policy.next(preferences, at);
    if (next === null || next > at) continue;
    const ring = policy.ring(preferences, at);
    if (ring) heard.push([(at - from) / 1000, ring]);
  }
  return heard;
}
const told = (heard: [number, Ring][]) => heard.map(([at, { sound, step }]) => `${at} ${sound} ${step}`);

describe('a message that nobody takes', () => {
  it('sounds at once, then twice and rising after 10 s, 30 s and every minute', () => {
    const policy = new Policy();
    policy.put(chat('a'), START);
    expect(told(listen(policy, START, 200))).toEqual(['0 chat 0', '10 nobody 1', '40 nobody 2', '100 nobody 3', '160 nobody 4']);
  });

  it('is still after it was taken, answered, or seen', () => {
    for (const end of ['drop', 'hush'] as const) {
      const policy = new Policy();
      policy.put(chat('a'), START);
      const heard = listen(policy, START, 120, loud, (at) => { if (at === START + 15_000) policy[end]('a', at); });
      expect(told(heard), end).toEqual(['0 chat 0', '10 nobody 1']);
    }
  });

  it('sounds again when the customer writes again, from the first step when it was answered meanwhile', () => {
    const policy = new Policy();
    policy.put(chat('a'), START);
    listen(policy, START, 15);
    policy.drop('a');
    policy.put(chat('a', { newest: 'msg_a_2' }), START + 20_000);
    expect(told(listen(policy, START + 20_000, 40))).toEqual(['0 chat 0', '10 nobody 1', '40 nobody 2']);
  });

  it('was seen, and then the customer writes again: it rings', () => {
    const policy = new Policy();
    policy.put(chat('a'), START);
    listen(policy, START, 5);
    expect(policy.hush('a', START + 5_000)).toBe(true);
    expect(policy.hush('a', START + 5_500)).toBe(false);
    expect(listen(policy, START + 6_000, 100)).toEqual([]);
    policy.put(chat('a', { newest: 'msg_a_2' }), START + 200_000);
    expect(told(listen(policy, START + 200_000, 15))).toEqual(['0 chat 0', '10 nobody 1']);
  });

  it('is mine: it sounds again as it did, not as what nobody has', () => {
    const policy = new Policy();
    policy.put(chat('a', { untaken: false }), START);
    expect(told(listen(policy, START, 45))).toEqual(['0 chat 0', '10 chat 0', '40 chat 0']);
  });

  it('is a letter: it rings again much later', () => {
    const policy = new Policy();
    policy.put(chat('a', { class: 'mail' }), START);
    expect(told(listen(policy, START, 400))).toEqual(['0 mail 0', '60 nobody 1', '360 nobody 2']);
  });
});

describe('a ring that climbs', () => {
  it('sounds again for who has seen it and has not taken it, at each step', () => {
    const policy = new Policy();
    policy.put(chat('a', { reached: 'rng_1 1 x' }), START);
    const heard = listen(policy, START, 400, loud, (at) => {
      if (at === START + 5_000 || at === START + 62_000) policy.hush('a', at);
      if (at === START + 60_000) policy.put(chat('a', { reached: 'rng_1 2 y', escalated: true }), at);
    });
    expect(told(heard)).toEqual(['0 chat 0', '60 nobody 1']);
    // Also for who wants no repeats: what they have seen they have seen.
    expect(policy.next({ ...loud, repeat: false }, START + 500_000)).toBeNull();
    policy.put(chat('a', { reached: 'rng_1 3 z', escalated: true }), START + 500_000);
    expect(policy.next({ ...loud, repeat: false }, START + 500_000)).toBeNull();
    expect(policy.ring(loud, START + 500_000)).toMatchObject({ sound: 'nobody', for: ['a'] });
  });

  it('is the bell for what nobody has taken from its first sound on, where it comes to this person late', () => {
    const policy = new Policy();
    policy.put(chat('a', { reached: 'rng_1 2 y', escalated: true }), START);
    expect(told(listen(policy, START, 1))).toEqual(['0 nobody 0']);
  });

  it('is new when its channel opens, though it had sounded before it closed, and was seen', () => {
    const policy = new Policy();
    policy.put(chat('a', { reached: 'rng_1 1 x' }), START);
    listen(policy, START, 2);
    policy.hush('a', START + 2_000);
    policy.still('a');
    expect([policy.size, policy.next(loud, START + 3_000)]).toEqual([0, null]);
    policy.put(chat('a', { reached: 'rng_1 1 y', since: START + 60_000 }), START + 60_000);
    expect(told(listen(policy, START + 60_000, 15))).toEqual(['0 chat 0', '10 nobody 1']);
  });

  it('that a ledger of an older build has hushed sounds once more', () => {
    const policy = new Policy({ a: { rung: 'msg_a_1', hushed: 'msg_a_1', at: START, times: 1 } }, START + 20_000);
    policy.put(chat('a', { reached: 'rng_1 2 y' }), START + 20_000);
    expect(policy.ring(loud, START + 20_000)).toMatchObject({ for: ['a'] });
  });

  it('is an alarm: the bell for what nobody has taken, whatever sounds are off, and no person waits', () => {
    const policy = new Policy();
    policy.put(chat('rng_9', { class: 'alarm', reached: 'rng_9 1 x' }), START);
    expect([policy.size, policy.ids]).toEqual([0, ['rng_9']]);
    expect(told(listen(policy, START, 400, { ...loud, chat: false, mail: false }))).toEqual(['0 nobody 0', '60 nobody 1', '360 nobody 2']);
    expect(policy.next({ ...loud, on: false }, START + 2_000_000)).toBeNull();
  });
});

describe('many messages', () => {
  it('f30 a burst of a thousand is a sound now and then, and none is left out', () => {
    const policy = new Policy();
    let at = START;
    const stood = new Set<string>();
    const times: number[] = [];
    for (let n = 0; n < 1000; n += 1, at += 20) {
      policy.put(chat(`c${n}`), at);
      const ring = policy.ring(loud, at);
      if (!ring) continue;
      times.push(at);
      for (const id of ring.for) stood.add(id);
    }
    for (const [, ring] of listen(policy, at, 10)) for (const id of ring.for) stood.add(id);
    expect(times.length).toBeLessThanOrEqual(7);
    times.slice(1).forEach((time, index) => expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(GAP_MS));
    expect(stood.size).toBe(1000);
  });

  it('forty who wait are one bell in half a minute, not forty', () => {
    const policy = new Policy();
    const heard = listen(policy, START, 600, loud, (at) => {
      const n = (at - START) / 3_700;
      if (Number.isInteger(n) && n < 40) policy.put(chat(`c${n}`), at);
    });
    const late = heard.filter(([at]) => at > 400);
    expect(late.length).toBeGreaterThan(2);
    expect(late.length).toBeLessThanOrEqual(200 / 30 + 1);
    for (const [, ring] of late) expect(ring.sound).toBe('nobody');
  });

  it('a new message is not hidden by a repeat of another', () => {
    const policy = new Policy();
    policy.put(chat('a'), START);
    listen(policy, START, 9);
    policy.put(chat('b'), START + 10_000);
    const ring = policy.ring(loud, START + 10_000);
    expect(ring?.for.sort()).toEqual(['a', 'b']);
  });
});

describe('where it came from', () => {
  it('f36 a tab that takes over rings for nothing that has rung, and goes on at the same step', () => {
    const first = new Policy();
    first.put(chat('a'), START);
    listen(first, START, 11);
    const kept: unknown = JSON.parse(JSON.stringify(first.ledger(START + 11_000)));
    const second = new Policy(kept, START + 12_000);
    second.put(chat('a'), START + 12_000);
    expect(told(listen(second, START + 12_000, 60))).toEqual(['28 nobody 2']);
  });

  it('a message that came while no tab was open rings when one opens', () => {
    const first = new Policy();
    first.put(chat('a'), START);
    listen(first, START, 1);
    const second = new Policy(first.ledger(START + 2_000), START + 900_000);
    for (const one of [chat('a', { newest: 'msg_a_7' }), chat('b')]) second.put(one, START + 900_000);
    const heard = listen(second, START + 900_000, 2);
    expect(told(heard)).toEqual(['0 chat 0']);
    expect(heard[0]?.[1].for.sort()).toEqual(['a', 'b']);
  });

  it('what waits since before yesterday is shown and does not ring', () => {
    const policy = new Policy();
    policy.put(chat('a', { since: START - 25 * 3_600_000 }), START);
    expect(policy.size).toBe(1);
    expect(listen(policy, START, 100)).toEqual([]);
    policy.put(chat('a', { newest: 'msg_a_2', since: START + 100_000 }), START + 100_000);
    expect(told(listen(policy, START + 100_000, 1))).toEqual(['0 chat 0']);
  });

  it('a ledger that somebody broke breaks nothing', () => {
    for (const broken of [7, 'x', [], { a: null }, { a: 7 }, { a: { rung: 1 } }, { a: { rung: 'm', hushed: 'm', at: 'x', times: 1 } }]) {
      const policy = new Policy(broken, START);
      policy.put(chat('a'), START);
      expect(told(listen(policy, START, 1))).toEqual(['0 chat 0']);
    }
  });

  it('a failed answer hides no message that has not sounded yet', () => {
    const policy = new Policy();
    policy.put(chat('a'), START);
    listen(policy, START, 1);
    policy.put(chat('a', { newest: 'msg_a_2' }), START + 1_100);
    policy.put(chat('a', { newest: 'msg_' }), START + 1_200);
    expect(told(listen(policy, START + 1_250, 3))).toEqual(['1.75 chat 0']);
  });
});

describe('the clock', () => {
  it('set back by an hour does not make the bell silent for an hour', () => {
    const policy = new Policy();
    policy.put(chat('a'), START);
    listen(policy, START, 11);
    const back = START - 3_600_000;
    policy.put(chat('b'), back);
    policy.ring(loud, back);
    expect(listen(policy, back + 250, 61).length).toBeGreaterThan(0);
  });

  it('quiet hours over midnight, and the sound when they are over', () => {
    const quiet: Preferences = { ...DEFAULTS, quiet: true, quietFrom: '22:00', quietTo: '07:00' };
    const at = (hours: number, minutes = 0) => new Date(2026, 10, 21, hours, minutes).getTime();
    expect(quietUntil(quiet, at(21, 59))).toBeNull();
    expect(quietUntil(quiet, at(22))).toBe(at(24 + 7));
    expect(quietUntil(quiet, at(3))).toBe(at(7));
    expect(quietUntil(quiet, at(7))).toBeNull();
    expect(quietUntil({ ...quiet, quietFrom: '12:00', quietTo: '13:00' }, at(12, 30))).toBe(at(13));
    expect(quietUntil({ ...quiet, quietFrom: '12:00', quietTo: '12:00' }, at(12))).toBeNull();
    const policy = new Policy();
    policy.put(chat('a', { since: at(3) }), at(3));
    expect(policy.ring(quiet, at(3))).toBeNull();
    expect(policy.next(quiet, at(3))).toBe(at(7));
    expect(policy.ring(quiet, at(7))?.sound).toBe('chat');
  });
});

describe('preferences', () => {
  it('each can be off', () => {
    const policy = new Policy();
    policy.put(chat('a'), START);
    policy.put(chat('b', { class: 'mail' }), START);
    expect(policy.next({ ...loud, on: false }, START)).toBeNull();
    expect(policy.next({ ...loud, volume: 0 }, START)).toBeNull();
    expect(policy.next({ ...loud, chat: false, mail: false }, START)).toBeNull();
    expect(policy.ring({ ...loud, chat: false }, START)).toMatchObject({ sound: 'mail', for: ['b'] });
    expect(told(listen(policy, START + 3_000, 300, { ...loud, repeat: false }))).toEqual(['0 chat 0']);
  });

  it('are read whatever somebody made of them', () => {
    for (const kept of [null, 7, [], { volume: 9 }, { volume: 'loud' }, { chat: 'yes' }, { quietFrom: '25:00' }]) expect(preferencesOf(kept)).toEqual(DEFAULTS);
    expect(preferencesOf({ volume: 0.2, mail: false, quietTo: '6:30' })).toEqual({ ...DEFAULTS, volume: 0.2, mail: false, quietTo: '6:30' });
  });
});

describe('what rings', () => {
  const conversation = {
    id: 'cnv_1', connector: 'webchat', status: 'open' as const, assignee_id: null, waiting_since: '2026-11-21T10:00:00Z',
    last_message: { id: 'msg_9', preview: 'x', direction: 'inbound' as const, at: '2026-11-21T10:05:00Z' },
  };

  it('is what nobody has, and what is mine', () => {
    expect(ringingOf(conversation, { me: 'usr_me', others: false })).toEqual({ id: 'cnv_1', class: 'chat', untaken: true, newest: 'msg_9', since: START + 300_000, reached: '', escalated: false });
    expect(ringingOf({ ...conversation, assignee_id: 'usr_me' }, { me: 'usr_me', others: false })).toMatchObject({ untaken: false });
    expect(ringingOf({ ...conversation, assignee_id: 'usr_other' }, { me: 'usr_me', others: false })).toBeNull();
    expect(ringingOf({ ...conversation, assignee_id: 'usr_other' }, { me: 'usr_me', others: true })).toMatchObject({ untaken: false });
    expect(ringingOf({ ...conversation, connector: 'email' }, { me: null, others: false })).toMatchObject({ class: 'mail' });
  });

  it('is nothing that was answered, is done, sleeps, is spam, or comes from who is blocked', () => {
    for (const change of [{ waiting_since: null }, { status: 'resolved' as const }, { status: 'snoozed' as const }, { spam: true }, { blocked: true }]) {
      expect(ringingOf({ ...conversation, ...change }, { me: 'usr_me', others: true })).toBeNull();
    }
  });

  it('behind an answer that failed the newest of theirs is older than any', () => {
    const last = { ...conversation.last_message, direction: 'outbound' as const };
    expect(ringingOf({ ...conversation, last_message: last }, { me: null, others: false })).toMatchObject({ newest: 'msg_', since: START });
  });
});
