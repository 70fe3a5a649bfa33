// @vitest-environment node
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Tabs, type FromWorker, type Port } from './tabs';

class Tab implements Port {
  heard: string[] = [];
  postMessage(said: FromWorker): void {
    this.heard.push('event' in said ? said.event.type : 'alarm' in said ? 'alarm' : said.state);
  }
}

describe('tabs that share a line', () => {
  const reader = { state: 'live' as const, awaySince: null, restart: vi.fn(), poke: vi.fn() };
  let now = 0;
  let tabs: Tabs;
  let one: Tab;
  let two: Tab;
  const event = (type: string) => tabs.tell({ event: { seq: 1, type, at: '', data: {} } });

  beforeEach(() => {
    vi.useFakeTimers();
    vi.clearAllMocks();
    now = 1_000_000;
    tabs = new Tabs(reader, () => now);
    [one, two] = [new Tab(), new Tab()];
    tabs.join(one);
    tabs.join(two);
  });
  afterEach(() => vi.useRealTimers());
  const pass = (rounds: number, speaks: Tab[]) => {
    for (let round = 0; round < rounds; round += 1) {
      now += 30_000;
      for (const tab of speaks) tabs.hear(tab, { say: 'here' });
      tabs.sweep();
    }
  };

  it('each hears each event once', () => {
    event('message.created');
    expect([one.heard, two.heard]).toEqual([['live', 'message.created'], ['live', 'message.created']]);
  });

  it('one that says good-bye hears no more', () => {
    tabs.hear(one, { say: 'bye' });
    event('message.created');
    expect(one.heard).toEqual(['live']);
    expect(tabs.size).toBe(1);
  });

  it('one that was frozen reads anew when it speaks again', () => {
    pass(6, [two]);
    expect(tabs.size).toBe(1);
    event('message.created');
    tabs.hear(one, { say: 'here' });
    event('message.updated');
    expect(one.heard).toEqual(['live', 'live', 'reset', 'message.updated']);
    expect(two.heard).toEqual(['live', 'message.created', 'message.updated']);
  });

  it('one whose timers run once a minute is left alone', () => {
    for (let minute = 0; minute < 60; minute += 1) {
      pass(1, [two]);
      pass(1, [one, two]);
    }
    expect(tabs.size).toBe(2);
    expect(one.heard).toEqual(['live']);
  });

  it('after eight hours of sleep nobody is left out', () => {
    now += 8 * 3_600_000;
    tabs.sweep();
    expect(tabs.size).toBe(2);
    event('message.created');
    expect(one.heard).toEqual(['live', 'message.created']);
  });

  it('a clock that is set back leaves nobody out', () => {
    now -= 3_600_000;
    tabs.sweep();
    pass(2, [one, two]);
    expect(tabs.size).toBe(2);
  });

  it('a page that comes back by the back button reads anew', () => {
    tabs.hear(one, { say: 'bye' });
    event('message.created');
    tabs.hear(one, { say: 'poke' });
    expect(one.heard).toEqual(['live', 'live', 'reset']);
    expect(reader.poke).toHaveBeenCalledOnce();
  });

  it('when somebody signs in, all tabs read anew', () => {
    tabs.hear(one, { say: 'restart' });
    expect(reader.restart).toHaveBeenCalledOnce();
    expect([one.heard, two.heard]).toEqual([['live', 'reset'], ['live', 'reset']]);
  });

  it('wakes a tab at its time, and only at the last one it asked for', () => {
    tabs.hear(one, { say: 'alarm', at: now + 5_000 });
    tabs.hear(one, { say: 'alarm', at: now + 10_000 });
    tabs.hear(two, { say: 'alarm', at: now + 2_000 });
    tabs.hear(two, { say: 'alarm', at: null });
    vi.advanceTimersByTime(9_999);
    expect(one.heard).toEqual(['live']);
    vi.advanceTimersByTime(1);
    vi.advanceTimersByTime(60_000);
    expect(one.heard).toEqual(['live', 'alarm']);
    expect(two.heard).toEqual(['live']);
    tabs.hear(one, { say: 'alarm', at: now + 5_000 });
    tabs.hear(one, { say: 'bye' });
    vi.advanceTimersByTime(60_000);
    expect(one.heard).toEqual(['live', 'alarm']);
  });
});
