import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Message } from '../api/client';
import { stream } from '../stream/index.svelte';
import { Thread, threads } from './thread.svelte';

const START = Date.parse('2026-11-01T00:00:00Z');
const message = (index: number, more: Partial<Message> = {}): Message =>
  ({
    id: `msg_${index}`, conversation_id: 'cnv_1', channel_id: 'website', connector: 'webchat', direction: 'inbound', kind: 'message', author: { type: 'contact', id: 'cus_1', name: 'Ewa' },
    text: `#${index}`, html: null, attachments: [], reply_to: null, reply_to_external_id: null, reactions: [], external_id: null, metadata: {}, edited_at: null, deleted_at: null, delivery: null, revisions: [],
    sent_at: new Date(START + index * 60_000).toISOString(), received_at: new Date(START + index * 60_000).toISOString(), ...more,
  }) as Message;

/** A daemon that pages through `count` messages, newest first. */
let count = 1000;
let asked: string[] = [];
let meanwhile: (() => void) | null = null;
beforeEach(() => {
  count = 1000;
  asked = [];
  meanwhile = null;
  vi.stubGlobal('fetch', async (input: RequestInfo | URL) => {
    const url = new URL(input instanceof Request ? input.url : String(input), 'http://desk.example');
    asked.push(url.pathname + url.search);
    const json = (body: unknown) => new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } });
    if (!url.pathname.endsWith('/messages')) return json({ id: 'cnv_1', contact: { id: 'cus_1', name: 'Ewa' }, status: 'open', labels: [] });
    const top = Number(url.searchParams.get('cursor') ?? count);
    const limit = Number(url.searchParams.get('limit'));
    const data = Array.from({ length: Math.min(limit, top) }, (_, index) => message(top - 1 - index));
    meanwhile?.();
    return json({ data, next: top > limit ? String(top - limit) : null });
  });
});
afterEach(() => vi.unstubAllGlobals());
const ids = (thread: Thread) => thread.messages.map((one) => Number(one.id.slice(4)));

describe('a thread', () => {
  it('reads the newest page, and upward without a gap or a repetition', async () => {
    count = 150;
    const thread = new Thread('cnv_1');
    await thread.load();
    expect(ids(thread)).toEqual(Array.from({ length: 60 }, (_, index) => 90 + index));
    await thread.older();
    await thread.older();
    expect(ids(thread)).toEqual(Array.from({ length: 150 }, (_, index) => index));
    expect(thread.complete).toBe(true);
    await thread.older();
    expect(asked.filter((path) => path.includes('messages'))).toHaveLength(3);
  });

  it('keeps its pieces where older ones come in above', async () => {
    const thread = new Thread('cnv_1');
    await thread.load();
    const before = new Map(thread.pieces.map((piece) => [piece.no, piece.rows.map((row) => row.message.id)]));
    await thread.older();
    const after = new Map(thread.pieces.map((piece) => [piece.no, piece.rows.map((row) => row.message.id)]));
    for (const [no, rows] of before) expect(after.get(no)).toEqual(rows);
  });

  it('loses nothing that was told while a page was on its way', async () => {
    count = 10;
    const thread = new Thread('cnv_1');
    meanwhile = () => {
      thread.take(message(10));
      thread.take(message(9, { text: 'edited' }));
    };
    await thread.load();
    expect(ids(thread)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(thread.get('msg_9')?.text).toBe('edited');
  });

  it('takes each message once, and in its place', async () => {
    count = 5;
    const thread = new Thread('cnv_1');
    await thread.load();
    for (const index of [5, 7, 6, 5, 7]) thread.take(message(index));
    expect(ids(thread)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('leaves what belongs to a page that was not read', async () => {
    const thread = new Thread('cnv_1');
    await thread.load();
    thread.take(message(3));
    expect(ids(thread)[0]).toBe(940);
  });

  it('finds a message far up, and says where there is none', async () => {
    const thread = new Thread('cnv_1');
    await thread.load();
    expect(await thread.find('msg_300')).toBe(true);
    expect(thread.complete).toBe(false);
    expect(await thread.find('msg_none')).toBe(false);
    expect(thread.complete).toBe(true);
  });

  it('waits for a page that is on its way already', async () => {
    const thread = new Thread('cnv_1');
    await thread.load();
    const [, found] = await Promise.all([thread.older(), thread.find('msg_900')]);
    expect(found).toBe(true);
  });

  it('lets go of what is far up, and reads it again without a gap', async () => {
    const thread = new Thread('cnv_1');
    await thread.load();
    await thread.find('msg_0');
    thread.trim();
    expect(thread.messages.length).toBeLessThanOrEqual(400);
    expect(thread.complete).toBe(false);
    await thread.find('msg_0');
    expect(ids(thread)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
  });

  it('hears of news while it is kept', async () => {
    count = 3;
    const thread = threads.open('cnv_1');
    await thread.load();
    stream.deliver({ seq: 1, type: 'message.created', at: '', data: { message: message(3) } });
    stream.deliver({ seq: 2, type: 'message.updated', at: '', data: { message: message(1, { deleted_at: '2026-11-02T00:00:00Z', text: null }) } });
    expect(ids(thread)).toEqual([0, 1, 2, 3]);
    expect(thread.get('msg_1')?.deleted_at).not.toBeNull();
    expect(threads.open('cnv_1')).toBe(thread);
  });
});
