// @vitest-environment node
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

  it('is not live before it is known where the line begins', async () => {
    vi.useFakeTimers();
    const told: (LineState | string)[] = [];
    const { asked, fetcher } = daemon([streamOf(), streamOf('retry: 1000\n: hello\n: position 41\n\n'), streamOf(frame(42, 'message.created'))]);
    const reader = new StreamReader({ event: ({ type }) => told.push(type), state: (state) => told.push(state) }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(3_000);
    reader.end();
    expect(asked.slice(0, 3)).toEqual(['/api/v1/events', '/api/v1/events', '/api/v1/events?after=41']);
    // The first was cut before it said anything: who reads lists at the first `live` misses nothing.
    expect(told.slice(0, 5)).toEqual(['away', 'live', 'away', 'live', 'message.created']);
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

  it('honours Retry-After, and tries at once when it is poked', async () => {
    vi.useFakeTimers();
    const busy = () => new Response('', { status: 503, headers: { 'retry-after': '7' } });
    const { asked, fetcher } = daemon([busy, busy, streamOf(frame(1, 'x'))]);
    const reader = new StreamReader({ event: () => {}, state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(6_900);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(asked).toHaveLength(2);
    reader.poke();
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(3);
    reader.end();
  });

  it('is not held up by a Retry-After of a day, of the past, or of nonsense', async () => {
    vi.useFakeTimers();
    for (const wait of ['86400', '-5', 'soon', 'Sat, 21 Nov 2026 10:00:30 GMT']) {
      const { asked, fetcher } = daemon([() => new Response('', { status: 503, headers: { 'retry-after': wait } })]);
      const reader = new StreamReader({ event: () => {}, state: () => {} }, fetcher);
      reader.start();
      await vi.advanceTimersByTimeAsync(10_500);
      expect(asked.length, wait).toBe(2);
      reader.end();
    }
  });

  /** A line that says hello and then what the test gives it; it ends when it is aborted. */
  function open() {
    const lines: { push(text: string): void; url: string; aborted: boolean }[] = [];
    const fetcher = ((url: string, init: RequestInit) => {
      const line = { push: (_: string) => {}, url, aborted: false };
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          line.push = (text) => controller.enqueue(new TextEncoder().encode(text));
          init.signal?.addEventListener('abort', () => {
            if (line.aborted) return;
            line.aborted = true;
            controller.error(new DOMException('gone', 'AbortError'));
          });
        },
      });
      lines.push(line);
      line.push(': hello\n\n');
      return Promise.resolve(new Response(body));
    }) as unknown as typeof fetch;
    return { lines, fetcher };
  }

  it('after a laptop slept it leaves the dead line within seconds, and resumes', async () => {
    vi.useFakeTimers();
    const { lines, fetcher } = open();
    const states: LineState[] = [];
    const reader = new StreamReader({ event: () => {}, state: (state) => states.push(state) }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(100);
    lines[0]?.push(frame(7, 'x'));
    await vi.advanceTimersByTimeAsync(100);
    vi.setSystemTime(Date.now() + 8 * 3_600_000);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(lines).toHaveLength(2);
    expect(lines[1]?.url).toBe('/api/v1/events?after=7');
    expect(states).toEqual(['live', 'away', 'live']);
    reader.end();
  });

  it('a clock that is set back neither ends the line nor keeps a dead one', async () => {
    vi.useFakeTimers();
    const { lines, fetcher } = open();
    const reader = new StreamReader({ event: () => {}, state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(100);
    vi.setSystemTime(Date.now() - 3_600_000);
    await vi.advanceTimersByTimeAsync(10_000);
    lines[0]?.push(': still here\n\n');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(lines).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lines).toHaveLength(2);
    reader.end();
  });

  it('poked while the line is doubtful it does not wait for the rest of the silence', async () => {
    vi.useFakeTimers();
    const { lines, fetcher } = open();
    const reader = new StreamReader({ event: () => {}, state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(10_000);
    reader.poke();
    await vi.advanceTimersByTimeAsync(1);
    expect(lines).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(8_000);
    reader.poke();
    await vi.advanceTimersByTimeAsync(1);
    expect(lines).toHaveLength(2);
    reader.end();
  });

  it('an answer whose headers never come is given up', async () => {
    vi.useFakeTimers();
    let tries = 0;
    const fetcher = ((_: string, init: RequestInit) => new Promise((_resolve, reject) => {
      tries += 1;
      init.signal?.addEventListener('abort', () => reject(new DOMException('gone', 'AbortError')));
    })) as unknown as typeof fetch;
    const reader = new StreamReader({ event: () => {}, state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(tries).toBe(2);
    reader.end();
  });

  it('begun anew it forgets the number, at once, and takes nothing more of the old line', async () => {
    vi.useFakeTimers();
    const { lines, fetcher } = open();
    const events: DeskEvent[] = [];
    const reader = new StreamReader({ event: (event) => events.push(event), state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(10);
    lines[0]?.push(frame(7, 'x'));
    await vi.advanceTimersByTimeAsync(10);
    lines[0]?.push(frame(8, 'secret'));
    reader.restart();
    await vi.advanceTimersByTimeAsync(1);
    expect(lines.map((line) => line.url)).toEqual(['/api/v1/events', '/api/v1/events']);
    expect(lines[0]?.aborted).toBe(true);
    // And what was read before the new line was there may miss what came in between.
    expect(events.map((event) => event.type)).toEqual(['x', 'reset']);
    reader.end();
  });

  it('signed out and in again it lives again', async () => {
    vi.useFakeTimers();
    const states: LineState[] = [];
    const { fetcher } = daemon([() => new Response('', { status: 401 }), () => new Response('', { status: 401 }), streamOf(frame(1, 'x'))]);
    const reader = new StreamReader({ event: () => {}, state: (state) => states.push(state) }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(9_000);
    reader.restart();
    await vi.advanceTimersByTimeAsync(10);
    reader.end();
    expect(states.slice(0, 2)).toEqual(['signed-out', 'live']);
  });

  it('after it ended it asks no more', async () => {
    vi.useFakeTimers();
    const { asked, fetcher } = daemon([streamOf(frame(1, 'x'))]);
    const reader = new StreamReader({ event: () => {}, state: () => {} }, fetcher);
    reader.start();
    await vi.advanceTimersByTimeAsync(10);
    reader.end();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(1);
  });
});
