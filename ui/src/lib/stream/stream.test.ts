import { afterEach, describe, expect, it, vi } from 'vitest';

import { SseParser } from './parse';
import { StreamReader, type DeskEvent, type LineState } from './reader';

describe('the parser', () => {
  const text = ': hello\nretry: 1000\n\nid: 7\nevent: message.created\ndata: {"a":1}\n\nevent: typing\ndata: x\ndata: y\n\n';

  it('gives the same events however the text is cut', () => {
    const whole = new SseParser().push(text);
    expect(whole).toEqual([
      { id: '7', event: 'message.created', data: '{"a":1}' },
      { id: null, event: 'typing', data: 'x\ny' },
    ]);
    for (let cut = 0; cut <= text.length; cut++) {
      const parser = new SseParser();
      expect([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]).toEqual(whole);
    }
  });

  it('takes every kind of line end', () => {
    expect(new SseParser().push('data: a\r\n\r\ndata: b\n\n')).toHaveLength(2);
  });
});

const frame = (seq: number | null, type: string) =>
  `${seq === null ? '' : `id: ${seq}\n`}event: ${type}\ndata: ${JSON.stringify({ seq, type, at: '', data: {} })}\n\n`;

/** A daemon that answers each request with the next of these. */
function daemon(answers: (() => Response)[]) {
  const asked: string[] = [];
  const fetcher = (async (input: RequestInfo | URL) => {
    asked.push(String(input));
    const answer = answers.shift();
    if (!answer) return new Promise<Response>(() => {});
    return answer();
  }) as typeof fetch;
  return { asked, fetcher };
}

const streamOf = (...frames: string[]) => () => new Response(frames.join(''), { headers: { 'content-type': 'text/event-stream' } });

describe('the reader', () => {
  afterEach(() => vi.useRealTimers());

  it('resumes by the last number and takes nothing twice', async () => {
    vi.useFakeTimers();
    const events: DeskEvent[] = [];
    const states: LineState[] = [];
    const { asked, fetcher } = daemon([
      streamOf(frame(5, 'message.created'), frame(null, 'typing')),
      () => new Response('', { status: 503, headers: { 'retry-after': '1' } }),
      () => { throw new TypeError('cut'); },
      streamOf(frame(5, 'message.created'), frame(6, 'message.created')),
    ]);
    const reader = new StreamReader({ event: (event) => events.push(event), state: (state) => states.push(state) }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(20_000);
    reader.end();
    expect(events.map((event) => event.seq)).toEqual([5, null, 6]);
    expect(asked.slice(0, 4)).toEqual(['/api/v1/events', '/api/v1/events?after=5', '/api/v1/events?after=5', '/api/v1/events?after=5']);
    expect(states.slice(0, 3)).toEqual(['live', 'away', 'live']);
  });

  it('resumes from the beginning of a line that was cut before its first event', async () => {
    vi.useFakeTimers();
    const { asked, fetcher } = daemon([streamOf('retry: 1000\n: hello\n: position 41\n\n'), streamOf(frame(42, 'message.created'))]);
    const events: DeskEvent[] = [];
    const reader = new StreamReader({ event: (event) => events.push(event), state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(2_000);
    reader.end();
    expect(asked[1]).toBe('/api/v1/events?after=41');
    expect(events.map((event) => event.seq)).toEqual([42]);
  });

  it('takes a reset to a lower number', async () => {
    vi.useFakeTimers();
    const events: DeskEvent[] = [];
    const { fetcher } = daemon([streamOf(frame(900, 'message.created')), streamOf(frame(3, 'reset'), frame(4, 'message.created'))]);
    const reader = new StreamReader({ event: (event) => events.push(event), state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(5_000);
    reader.end();
    expect(events.map((event) => [event.seq, event.type])).toEqual([[900, 'message.created'], [3, 'reset'], [4, 'message.created']]);
  });

  it('leaves a line that has gone silent', async () => {
    vi.useFakeTimers();
    let aborted = 0;
    const fetcher = ((_: string, init: RequestInit) => {
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(': hello\n\n'));
          init.signal?.addEventListener('abort', () => { aborted += 1; controller.error(new DOMException('gone', 'AbortError')); });
        },
      });
      return Promise.resolve(new Response(body));
    }) as unknown as typeof fetch;
    const reader = new StreamReader({ event: () => {}, state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(aborted).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(aborted).toBe(1);
    reader.end();
  });

  it('says when nobody is signed in', async () => {
    vi.useFakeTimers();
    const states: LineState[] = [];
    const { fetcher } = daemon([() => new Response('', { status: 401 })]);
    const reader = new StreamReader({ event: () => {}, state: (state) => states.push(state) }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(100);
    reader.end();
    expect(states).toEqual(['signed-out']);
  });
});
