import { describe, expect, it } from 'vitest';

import type { Message } from '../../lib/api/client';
import { cameLate, group, place, type Row } from './group';

let next = 0;
function message(sent: string, more: Partial<Message> = {}): Message {
  next += 1;
  return {
    id: `msg_${next}`, conversation_id: 'cnv_1', channel_id: 'website', connector: 'webchat', direction: 'inbound', kind: 'message',
    author: { type: 'contact', id: 'cus_1', name: 'Ewa' }, text: 'x', html: null, attachments: [], reply_to: null, reply_to_external_id: null,
    reactions: [], external_id: null, metadata: {}, sent_at: sent, received_at: sent, edited_at: null, deleted_at: null, delivery: null, revisions: [], ...more,
  };
}
const ours = (sent: string, state: 'queued' | 'sent' | 'read' | 'failed', more: Partial<Message> = {}) =>
  message(sent, { direction: 'outbound', author: { type: 'staff', id: 'usr_1', name: 'Ana' }, delivery: { state, at: sent, error: null }, ...more });
const shape = (rows: Row[]) => rows.map((row) => `${row.day ? 'D' : ''}${row.first ? 'F' : ''}${row.last ? 'L' : ''}${row.state ? 'S' : ''}`);

describe('group', () => {
  it('makes runs of an author within a minute', () => {
    expect(shape(group([message('2026-11-21T10:02:00Z'), message('2026-11-21T10:02:59Z'), message('2026-11-21T10:03:00Z'), ours('2026-11-21T10:03:01Z', 'sent')]))).toEqual(['DF', 'L', 'FL', 'FLS']);
  });

  it('begins a day with a separator', () => {
    const rows = group([message('2026-11-20T12:00:00'), message('2026-11-21T12:00:00'), message('2026-11-21T12:00:01')]);
    expect(shape(rows)).toEqual(['DFL', 'DF', 'L']);
  });

  it('parts notes from replies, and people from each other', () => {
    const at = '2026-11-21T10:02:00Z';
    expect(shape(group([ours(at, 'sent'), ours(at, 'sent', { kind: 'note', delivery: null }), ours(at, 'sent', { author: { type: 'staff', id: 'usr_2', name: 'Peter' } })]))).toEqual(['DFLS', 'FL', 'FLS']);
  });

  it('says a state once a run, and what is wrong always', () => {
    const at = '2026-11-21T10:02:00Z';
    expect(shape(group([ours(at, 'read'), ours(at, 'read'), ours(at, 'failed'), ours(at, 'sent'), ours(at, 'sent')]))).toEqual(['DF', 'S', 'S', '', 'LS']);
  });

  it('gives the same row where nothing changed', () => {
    const messages = [message('2026-11-21T10:02:00Z'), message('2026-11-21T10:05:00Z')];
    const rows = group(messages);
    const known = new Map(rows.map((row) => [row.message.id, row]));
    const again = group([...messages, message('2026-11-21T10:05:30Z')], known);
    expect(again[0]).toBe(rows[0]);
    expect(again[1]).not.toBe(rows[1]);
  });

  it('groups 5,000 in no time', () => {
    const many = Array.from({ length: 5000 }, (_, index) => message(new Date(1.7e12 + index * 20_000).toISOString()));
    const began = performance.now();
    group(many);
    expect(performance.now() - began).toBeLessThan(500);
  });

  it('r12_an_id_that_is_a_name_of_javascript_is_an_id', () => {
    const rows = group([message('2026-11-21T10:02:00Z', { id: '__proto__' }), message('2026-11-21T10:03:00Z', { id: 'constructor', author: { type: 'contact', id: '__proto__', name: 'toString' } })]);
    expect(shape(rows)).toEqual(['DFL', 'FL']);
  });
});

describe('place', () => {
  const [a, b, c] = [message('2026-11-21T10:01:00Z'), message('2026-11-21T10:02:00Z'), message('2026-11-21T10:03:00Z')] as const;
  it('puts a message by its time', () => expect(place([a, c], b)).toEqual([a, b, c]));
  it('puts it behind those of the same time', () => {
    const same = message('2026-11-21T10:02:00Z');
    expect(place([a, b, c], same)).toEqual([a, b, same, c]);
  });
  it('takes the place of what it was', () => {
    const edited = { ...b, text: 'y' };
    expect(place([a, b, c], edited)).toEqual([a, edited, c]);
  });
  it('moves where its time changed', () => {
    const moved = { ...a, sent_at: '2026-11-21T10:04:00Z' };
    expect(place([a, b, c], moved)).toEqual([b, c, moved]);
  });
});

describe('cameLate', () => {
  it('is more than a minute', () => {
    expect(cameLate({ sent_at: '2026-11-21T10:00:00Z', received_at: '2026-11-21T10:01:00Z' })).toBe(false);
    expect(cameLate({ sent_at: '2026-11-21T10:00:00Z', received_at: '2026-11-21T10:01:01Z' })).toBe(true);
  });
});
