import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ApiProblem, type Message } from '../api/client';
import { Queue, type Outgoing, type OutgoingBody, type Shelf } from './outgoing.svelte';

class MapShelf implements Shelf {
  kept = new Map<string, string>();
  full = false;
  get length() { return this.kept.size; }
  key(index: number) { return [...this.kept.keys()][index] ?? null; }
  getItem(name: string) { return this.kept.get(name) ?? null; }
  setItem(name: string, value: string) {
    if (this.full) throw new DOMException('full', 'QuotaExceededError');
    this.kept.set(name, value);
  }
  removeItem(name: string) { this.kept.delete(name); }
}

const body = (text: string): OutgoingBody => ({ text, attachment_ids: [], reply_to: null, private: false });

/** A daemon that writes each key once, as ours does, over a line that can be cut before or after it wrote. */
class Daemon {
  written = new Map<string, { body: string; message: Message }>();
  asked: string[] = [];
  line: 'up' | 'down' | 'answer-lost' | 'slow' = 'up';
  refuse: ApiProblem | null = null;
  waiting: (() => void)[] = [];
  send = async (item: Outgoing): Promise<Message> => {
    this.asked.push(item.body.text ?? '');
    if (this.line === 'slow') await new Promise<void>((go) => this.waiting.push(go));
    if (this.line === 'down') throw ApiProblem.offline();
    if (this.refuse) throw this.refuse;
    const text = JSON.stringify(item.body);
    const before = this.written.get(item.key);
    if (before && before.body !== text) throw new ApiProblem(422, { type: '/docs/problems/idempotency-key-reused' });
    const message = before?.message ?? ({ id: `msg_${this.written.size}`, text: item.body.text } as unknown as Message);
    this.written.set(item.key, { body: text, message });
    if (this.line === 'answer-lost') throw ApiProblem.offline();
    return message;
  };
  get texts() { return [...this.written.values()].map((one) => one.message.text); }
}

let shelf: MapShelf;
let daemon: Daemon;
let clock: number;
const open = (owner = 'usr_1') => {
  const queue = new Queue(shelf, daemon.send, () => clock);
  queue.begin(owner);
  return queue;
};

beforeEach(() => {
  vi.useFakeTimers();
  shelf = new MapShelf();
  daemon = new Daemon();
  clock = 1_000_000;
});
afterEach(() => vi.useRealTimers());
const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

describe('the queue of what is sent', () => {
  it('shows a send at once and takes it out when it is written', async () => {
    const queue = open();
    const arrived: string[] = [];
    queue.onArrived((_, message) => arrived.push(message.id));
    queue.put('cnv_1', body('a'));
    expect(queue.all.map((item) => item.state)).toEqual(['sending']);
    expect(shelf.kept.size).toBe(1);
    await settle();
    expect(queue.all).toEqual([]);
    expect(shelf.kept.size).toBe(0);
    expect(arrived).toEqual(['msg_0']);
  });

  it('waits for the line and sends once when it is back', async () => {
    daemon.line = 'down';
    const queue = open();
    queue.put('cnv_1', body('a'));
    await settle();
    expect(queue.all.map((item) => item.state)).toEqual(['waiting']);
    daemon.line = 'up';
    await settle(60_000);
    expect(daemon.texts).toEqual(['a']);
    expect(queue.all).toEqual([]);
  });

  it('writes once where the answer was lost', async () => {
    daemon.line = 'answer-lost';
    const queue = open();
    queue.put('cnv_1', body('a'));
    await settle(5_000);
    expect(daemon.asked.length).toBeGreaterThan(1);
    daemon.line = 'up';
    await settle(60_000);
    expect(daemon.texts).toEqual(['a']);
    expect(queue.all).toEqual([]);
  });

  it('writes once over a crash in the middle, whatever became of the request', async () => {
    for (const line of ['down', 'answer-lost', 'slow'] as const) {
      shelf = new MapShelf();
      daemon = new Daemon();
      daemon.line = line;
      open().put('cnv_1', body('a'));
      await settle();
      // The tab is gone; another begins with what is kept.
      daemon.line = 'up';
      const after = open();
      for (const go of daemon.waiting) go();
      await settle(60_000);
      expect(daemon.texts, line).toEqual(['a']);
      expect(after.all, line).toEqual([]);
      expect(shelf.kept.size, line).toBe(0);
    }
  });

  it('writes once where two tabs send the same', async () => {
    daemon.line = 'down';
    const one = open();
    one.put('cnv_1', body('a'));
    await settle();
    const other = open();
    daemon.line = 'up';
    one.flush();
    other.flush();
    await settle(60_000);
    expect(daemon.texts).toEqual(['a']);
    one.reread();
    expect(one.all).toEqual([]);
  });

  it('keeps the order of a conversation, and lets others pass', async () => {
    daemon.line = 'slow';
    const queue = open();
    queue.put('cnv_1', body('a'));
    queue.put('cnv_1', body('b'));
    queue.put('cnv_2', body('c'));
    await settle();
    expect(daemon.asked).toEqual(['a', 'c']);
    daemon.line = 'up';
    for (const go of daemon.waiting) go();
    await settle();
    expect(daemon.asked).toEqual(['a', 'c', 'b']);
  });

  it('stands refused with the reason, and lets the next pass', async () => {
    daemon.refuse = new ApiProblem(409, { type: '/docs/problems/reply-window-closed', detail: 'Closed.' });
    const queue = open();
    queue.put('cnv_1', body('a'));
    await settle();
    expect(queue.all.map((item) => [item.state, item.problem?.code, item.problem?.detail])).toEqual([['refused', 'reply-window-closed', 'Closed.']]);
    daemon.refuse = null;
    queue.put('cnv_1', body('b'));
    await settle();
    expect(daemon.texts).toEqual(['b']);
    queue.again(queue.all[0]?.key ?? '');
    await settle();
    expect(daemon.texts).toEqual(['b', 'a']);
  });

  it('asks where a colleague answered meanwhile, and sends past it under another key', async () => {
    daemon.refuse = new ApiProblem(409, { type: '/docs/problems/crossed', crossed_by: { id: 'msg_x', text: 'Peter was here' } });
    const queue = open();
    queue.put('cnv_1', body('a'));
    queue.put('cnv_1', body('b'));
    await settle();
    expect(queue.all.map((item) => item.state)).toEqual(['crossed', 'waiting']);
    expect(queue.all[0]?.crossedBy?.text).toBe('Peter was here');
    const key = queue.all[0]?.key;
    daemon.refuse = null;
    queue.again(key ?? '', { force: true });
    await settle();
    expect(daemon.texts).toEqual(['a', 'b']);
    expect(daemon.written.has(key ?? '')).toBe(false);
    expect(JSON.parse([...daemon.written.values()][0]?.body ?? '{}')).toMatchObject({ force: true });
  });

  it('asks before it sends what was written long ago', async () => {
    daemon.line = 'down';
    open().put('cnv_1', body('a'));
    await settle();
    daemon.line = 'up';
    clock += 5 * 3_600_000;
    const queue = open();
    await settle();
    expect(queue.all.map((item) => item.state)).toEqual(['old']);
    expect(daemon.texts).toEqual([]);
    queue.again(queue.all[0]?.key ?? '');
    await settle();
    expect(daemon.texts).toEqual(['a']);
  });

  it('sends nothing of another person’s', async () => {
    daemon.line = 'down';
    open('usr_1').put('cnv_1', body('a'));
    await settle();
    daemon = new Daemon();
    const other = open('usr_2');
    await settle(1_000);
    expect(other.all).toEqual([]);
    expect(daemon.asked).toEqual([]);
    expect(shelf.kept.size).toBe(1);
  });

  it('sends all the same where nothing can be kept', async () => {
    shelf.full = true;
    const queue = open();
    queue.put('cnv_1', body('a'));
    await settle();
    expect(daemon.texts).toEqual(['a']);
  });

  it('r12_leaves_what_it_cannot_read', async () => {
    for (const [index, text] of ['', 'null', '[]', '{"__proto__":{"key":"x"}}', '{"key":1}', 'x'.repeat(1000), '{"key":"other","owner":"usr_1","conversation":"cnv_1","at":1,"body":{},"state":"waiting"}'].entries()) {
      shelf.setItem(`deskbell.outgoing.bad${index}`, text);
    }
    const queue = open();
    await settle();
    expect(queue.all).toEqual([]);
    expect(daemon.asked).toEqual([]);
  });

  it('cannot take back what is on its way', async () => {
    daemon.line = 'slow';
    const queue = open();
    const { key } = queue.put('cnv_1', body('a'));
    await settle();
    expect(queue.drop(key)).toBeNull();
    for (const go of daemon.waiting) go();
    await settle();
    expect(queue.all).toEqual([]);
  });
});
