// @vitest-environment node
import { describe, expect, it } from 'vitest';

import { Book, RING_MS } from './book';
import { STILL, type Listener, type Told, type Waiting } from './things';

const NOW = Date.parse('2026-11-21T10:00:00Z');
const ME: Listener = { me: 'usr_me', others: false };
const ALL: Listener = { me: 'usr_me', others: true };

const waiting = (more: Partial<Waiting> = {}): Waiting => ({
  id: 'cnv_1', connector: 'webchat', status: 'open', assignee_id: null, waiting_since: '2026-11-21T10:00:00Z',
  last_message: { id: 'msg_1', preview: 'x', direction: 'inbound', at: '2026-11-21T10:00:00Z' }, ...more,
});
const ring = (more: Partial<Told> = {}): Told => ({
  id: 'rng_1', conversation_id: 'cnv_1', channel_id: 'website', state: 'ringing', step: 1, started_at: '2026-11-21T10:00:00Z',
  next_step_at: '2026-11-21T10:01:00Z', silenced: false, held_until: null, told: ['usr_me', 'usr_bo'], ...more,
});
const connectorOf = (channel: string) => (channel === 'mail' ? 'email' : 'webchat');
const at = (book: Book, listener = ME, place = 'cnv_1') => book.at(place, listener, connectorOf);
/** What sounds of a conversation with this ring. */
const sounding = (about: Partial<Told>, of: Partial<Waiting> = {}, listener = ME) => {
  const book = new Book();
  book.conversation(waiting(of), NOW);
  book.ring(ring(about), NOW);
  return at(book, listener);
};

describe('a ring', () => {
  it('sounds for whom it tells, and for nobody else', () => {
    expect(sounding({})).toMatchObject({ id: 'cnv_1', untaken: true, newest: 'msg_1', escalated: false });
    expect(sounding({ told: ['usr_bo'] })).toBeNull();
    // By their own wish somebody hears it all.
    expect(sounding({ told: ['usr_bo'] }, {}, ALL)).toMatchObject({ id: 'cnv_1' });
  });

  it('sounds as before the bell where it does not say whom it tells, or who sits here is nobody whom it could tell', () => {
    for (const told of [undefined, []]) {
      expect(sounding({ told })).toMatchObject({ untaken: true });
      expect(sounding({ told }, { assignee_id: 'usr_me' })).toMatchObject({ untaken: false });
      expect(sounding({ told }, { assignee_id: 'usr_bo' })).toBeNull();
    }
    expect(sounding({ told: ['usr_bo'] }, {}, { me: null, others: false })).toMatchObject({ untaken: true });
  });

  it('is silent while its channel is closed, also for who hears it all, and Monday’s when it opens', () => {
    const held = { step: 0, silenced: true, held_until: '2026-11-23T08:00:00Z' };
    for (const listener of [ME, ALL, { me: null, others: true }]) expect(sounding(held, {}, listener)).toBe(STILL);
    expect(sounding({ held_until: '2026-11-23T08:00:00Z' })).toMatchObject({ since: Date.parse('2026-11-23T08:00:00Z') });
  });

  it('of a colleague’s is heard once it has climbed to this person, as what nobody has taken', () => {
    const theirs = { assignee_id: 'usr_bo' };
    expect(sounding({ told: ['usr_bo'] }, theirs)).toBeNull();
    expect(sounding({ step: 2 }, theirs)).toMatchObject({ untaken: true, escalated: true });
    expect(sounding({ step: 2, told: ['usr_bo'] }, theirs)).toBeNull();
    expect(sounding({ step: 2 }, { assignee_id: 'usr_me' })).toMatchObject({ untaken: false });
  });

  it('is another at each step, and each time that the last one is repeated', () => {
    const reached = [{}, { step: 2 }, { step: 4, next_step_at: '2026-11-21T10:30:00Z' }, { step: 4, next_step_at: '2026-11-21T10:45:00Z' }].map((more) => {
      const found = sounding(more);
      return found && found !== STILL ? found.reached : found;
    });
    expect(new Set(reached).size).toBe(4);
  });

  it('ends when it is taken, and with the conversation, whichever is told first', () => {
    const book = new Book();
    book.conversation(waiting(), NOW);
    book.ring(ring({ told: ['usr_bo'] }), NOW);
    // It waits no more; then the customer writes again, of which the old ring says nothing.
    book.conversation(waiting({ waiting_since: null }), NOW);
    expect(at(book)).toBeNull();
    book.conversation(waiting(), NOW + 1);
    expect(at(book)).toMatchObject({ id: 'cnv_1' });
    book.ring(ring({ id: 'rng_2', told: ['usr_bo'] }), NOW);
    expect(at(book)).toBeNull();
    // An old ring's word does not come between.
    book.ring(ring({ state: 'taken' }), NOW);
    expect(at(book)).toBeNull();
    book.ring(ring({ id: 'rng_2', state: 'taken' }), NOW);
    expect(at(book)).toMatchObject({ id: 'cnv_1' });
  });

  it('is silent while an answer is on its way, and goes on if that fails', () => {
    const book = new Book();
    book.conversation(waiting(), NOW);
    book.ring(ring(), NOW);
    book.answering('cnv_1');
    expect(at(book)).toBe(STILL);
    book.ring(ring(), NOW);
    expect(at(book)).toMatchObject({ id: 'cnv_1' });
    book.answering('cnv_2');
    expect(book.places()).toEqual(new Set(['cnv_1']));
  });

  it('sounds by itself where its conversation is not known', () => {
    const book = new Book();
    book.ring(ring({ channel_id: 'mail' }), NOW);
    expect(at(book)).toMatchObject({ class: 'mail', untaken: true, newest: 'msg_', notBefore: NOW + RING_MS });
    book.ring(ring({ told: ['usr_bo'], step: 2 }), NOW);
    expect(at(book)).toBeNull();
    expect(at(book, ALL)).toMatchObject({ escalated: true });
  });
});

describe('the ring of what has just come', () => {
  it('is waited for a moment, and then it sounds without it', () => {
    const book = new Book();
    book.conversation(waiting(), NOW);
    expect(at(book)).toMatchObject({ notBefore: NOW + RING_MS });
    // More of the same customer does not put it off.
    book.conversation(waiting({ last_message: { id: 'msg_2', preview: 'x', direction: 'inbound', at: '2026-11-21T10:00:01Z' } }), NOW + 1_000);
    expect(at(book)).toMatchObject({ newest: 'msg_2', notBefore: NOW + RING_MS });
    book.ring(ring(), NOW);
    expect(at(book)).not.toHaveProperty('notBefore');
  });

  it('is not waited for where it is read that there is none', () => {
    const book = new Book();
    book.set([waiting()], [], NOW);
    expect(at(book)).not.toHaveProperty('notBefore');
    // Nor because somebody gives it a label.
    book.conversation(waiting(), NOW);
    expect(at(book)).not.toHaveProperty('notBefore');
  });

  it('waits a moment for its conversation, which was read before it came, and sounds once', () => {
    const book = new Book();
    // The lists were read while the message came, and its events are on their way.
    book.set([], [ring()], NOW);
    expect(at(book)).toMatchObject({ newest: 'msg_', notBefore: NOW + RING_MS });
    book.conversation(waiting(), NOW + 20);
    expect(at(book)).toMatchObject({ newest: 'msg_1' });
    expect(at(book)).not.toHaveProperty('notBefore');
    book.ring(ring(), NOW + 21);
    expect(at(book)).not.toHaveProperty('notBefore');
  });

  it('puts off no step of a ring whose conversation is not known for longer', () => {
    const book = new Book();
    book.set([], [ring()], NOW);
    book.ring(ring({ step: 2 }), NOW + 60_000);
    expect(at(book)).toMatchObject({ escalated: true, notBefore: NOW + RING_MS });
    book.set([], [ring({ step: 2 })], NOW + 61_000);
    expect(at(book)).not.toHaveProperty('notBefore');
  });

  it('is what was read, and nothing else', () => {
    const book = new Book();
    book.ring(ring({ id: 'rng_0', conversation_id: 'cnv_0' }), NOW);
    book.set([waiting()], [ring({ told: ['usr_bo'] }), ring({ id: 'rng_2', conversation_id: 'cnv_2', state: 'taken' })], NOW);
    expect(book.places()).toEqual(new Set(['cnv_1']));
    expect(at(book)).toBeNull();
  });
});

describe('an alarm', () => {
  const alarm = (more: Partial<Told> = {}) => ring({ id: 'rng_9', conversation_id: null, channel_id: null, kind: 'disk', title: 'Full', ...more });
  const heard = (more: Partial<Told>, listener = ME) => {
    const book = new Book();
    const place = book.ring(alarm(more), NOW);
    expect(place).toBe('rng_9');
    return at(book, listener, place);
  };

  it('sounds for whom it tells; it is no colleague’s customer', () => {
    expect(heard({})).toMatchObject({ id: 'rng_9', class: 'alarm', untaken: true });
    expect(heard({ told: [] })).toMatchObject({ class: 'alarm' });
    expect(heard({ told: ['usr_bo'] })).toBeNull();
    expect(heard({ told: ['usr_bo'] }, ALL)).toBeNull();
  });

  it('is over when it is taken, or when what is wrong ends', () => {
    for (const state of ['taken', 'ended']) {
      const book = new Book();
      book.ring(alarm(), NOW);
      expect(book.alarms()).toHaveLength(1);
      book.ring(alarm({ state }), NOW);
      expect(book.alarms()).toEqual([]);
      expect(at(book, ME, 'rng_9')).toBeNull();
    }
  });
});
