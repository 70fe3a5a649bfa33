import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { VIEWS, type Conversation, type Filter } from './filter';
import { ListView, type Keeper, type Page } from './listview.svelte';
import { aConversation, second } from './testing';

class TestKeeper implements Keeper {
  known = new Map<string, Conversation>();
  stamp = 0;
  me = 'usr_ana';
  get(id: string) {
    return this.known.get(id);
  }
  received(conversations: readonly Conversation[]) {
    for (const one of conversations) if (!this.known.has(one.id)) this.known.set(one.id, one);
  }
}

/** What the daemon answers, in turn; a page may be held back. */
let answers: (Page | Error | Promise<Page>)[] = [];
let asked: string[] = [];

beforeEach(() => {
  answers = [];
  asked = [];
  vi.stubGlobal('fetch', async (path: string) => {
    asked.push(path);
    const answer = await answers.shift();
    if (!answer || answer instanceof Error) throw new TypeError('no line');
    return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json' } });
  });
  vi.stubGlobal('requestAnimationFrame', (does: () => void) => (does(), 0));
});
afterEach(() => vi.unstubAllGlobals());

const open = (id: string, activity: number, more: Partial<Conversation> = {}) => aConversation(id, { last_activity_at: second(activity), ...more });
const waits = (id: string, since: number, more: Partial<Conversation> = {}) => aConversation(id, { waiting_since: second(since), ...more });

async function listOf(filter: Filter, data: Conversation[], next: string | null = null): Promise<{ list: ListView; hear: (one: Conversation, isNews?: boolean) => void }> {
  const keeper = new TestKeeper();
  const list = new ListView(filter, keeper);
  answers.push({ data, next });
  await list.load();
  const hear = (one: Conversation, isNews = false) => {
    keeper.known.set(one.id, one);
    list.hear(one, isNews);
  };
  return { list, hear };
}

describe('a list by activity', () => {
  const three = () => [open('c', 3), open('b', 2), open('a', 1)];

  it('moves what has news to the top', async () => {
    const { list, hear } = await listOf(VIEWS.open, three());
    expect(list.shown).toEqual(['c', 'b', 'a']);
    hear(open('a', 4), true);
    expect(list.shown).toEqual(['a', 'c', 'b']);
    hear(open('n', 5), true);
    expect(list.shown).toEqual(['n', 'a', 'c', 'b']);
    hear(open('c', 3, { status: 'resolved' }));
    expect(list.shown).toEqual(['n', 'a', 'b']);
  });

  it('moves nothing while it is held, and says how many wait', async () => {
    const { list, hear } = await listOf(VIEWS.open, three());
    list.hold(true, 10);
    hear(open('a', 4), true);
    hear(open('n', 5), true);
    hear(open('n', 6), true);
    expect(list.shown).toEqual(['c', 'b', 'a']);
    expect(list.behind).toBe(2);
    list.hold(false);
    expect(list.shown).toEqual(['n', 'a', 'c', 'b']);
    expect(list.behind).toBe(0);
  });

  it('keeps a row that has left under the pointer until it is let go', async () => {
    const { list, hear } = await listOf(VIEWS.open, three());
    list.hold(true, 10);
    hear(open('b', 2, { status: 'resolved' }));
    expect(list.shown).toEqual(['c', 'b', 'a']);
    expect(list.behind).toBe(0);
    list.hold(false);
    expect(list.shown).toEqual(['c', 'a']);
  });

  it('lets rows leave at once that left by the hand of who looks at it', async () => {
    const { list, hear } = await listOf(VIEWS.open, three());
    list.hold(true, 10);
    hear(open('b', 2, { status: 'resolved' }));
    list.release(['b', 'c']);
    expect(list.shown).toEqual(['c', 'a']);
  });

  it('shows what changes below the part that can be seen', async () => {
    const { list, hear } = await listOf(VIEWS.open, three());
    list.hold(true, 0);
    hear(open('a', 1, { status: 'resolved' }));
    expect(list.shown).toEqual(['c', 'b']);
  });

  it('keeps the open one in its place although it no longer fits, until somebody leaves it', async () => {
    const { list, hear } = await listOf(VIEWS.open, three());
    list.pin('b');
    hear(open('b', 2, { status: 'resolved' }));
    expect(list.shown).toEqual(['c', 'b', 'a']);
    list.pin('a');
    expect(list.shown).toEqual(['c', 'a']);
  });

  it('forgets what was erased, held or not', async () => {
    const { list } = await listOf(VIEWS.open, three());
    list.hold(true, 10);
    list.forget('b');
    expect(list.shown).toEqual(['c', 'a']);
  });

  it('leaves to a later page what stands behind everything that was read', async () => {
    const { list, hear } = await listOf(VIEWS.open, three(), 'next');
    hear(open('z', 0));
    expect(list.shown).toEqual(['c', 'b', 'a']);
    answers.push({ data: [open('z', 0)], next: null });
    await list.loadMore();
    expect(list.shown).toEqual(['c', 'b', 'a', 'z']);
    expect(list.hasMore).toBe(false);
  });

  it('puts a page behind what is shown while it is held, and nothing twice', async () => {
    const { list, hear } = await listOf(VIEWS.open, three(), 'next');
    list.hold(true, 10);
    hear(open('n', 9), true);
    answers.push({ data: [open('a', 1), open('z', 0)], next: null });
    await list.loadMore();
    expect(list.shown).toEqual(['c', 'b', 'a', 'z']);
    expect(list.behind).toBe(1);
    list.show();
    expect(list.shown).toEqual(['n', 'c', 'b', 'a', 'z']);
  });
});

describe('a list by waiting', () => {
  it('puts who begins to wait at its end, also while it is held, for nothing moves by that', async () => {
    const { list, hear } = await listOf(VIEWS.unanswered, [waits('a', 1), waits('b', 2)]);
    list.hold(true, 1);
    hear(waits('c', 3), true);
    expect(list.shown).toEqual(['a', 'b', 'c']);
    expect(list.behind).toBe(0);
  });

  it('keeps the open one in its place once it is answered', async () => {
    const { list, hear } = await listOf(VIEWS.unanswered, [waits('a', 1), waits('b', 2)]);
    list.pin('a');
    hear(aConversation('a'));
    expect(list.shown).toEqual(['a', 'b']);
    list.pin(null);
    expect(list.shown).toEqual(['b']);
  });
});

describe('between a page and the stream', () => {
  it('loses nothing that happens while the first page is on its way', async () => {
    const keeper = new TestKeeper();
    const list = new ListView(VIEWS.open, keeper);
    let answer: (page: Page) => void = () => undefined;
    answers.push(new Promise((resolve) => (answer = resolve)));
    const loading = list.load();
    const fresh = open('n', 9);
    keeper.known.set('n', fresh);
    list.hear(fresh, true);
    answer({ data: [open('a', 1)], next: null });
    await loading;
    expect(list.shown).toEqual(['n', 'a']);
  });

  it('loses nothing that happens while the last page is on its way', async () => {
    const { list, hear } = await listOf(VIEWS.unanswered, [waits('a', 1)], 'next');
    let answer: (page: Page) => void = () => undefined;
    answers.push(new Promise((resolve) => (answer = resolve)));
    const loading = list.loadMore();
    // It stands behind everything that was read, and the page was made before it came.
    hear(waits('n', 9), true);
    answer({ data: [waits('b', 2)], next: null });
    await loading;
    expect(list.shown).toEqual(['a', 'b', 'n']);
  });

  it('says that it failed, and goes on from where it was', async () => {
    const { list } = await listOf(VIEWS.open, [open('a', 1)], 'next');
    answers.push(new Error());
    await list.loadMore();
    expect(list.problem?.code).toBe('offline');
    expect(list.shown).toEqual(['a']);
    answers.push({ data: [open('z', 0)], next: null });
    await list.loadMore();
    expect(list.problem).toBeNull();
    expect(list.shown).toEqual(['a', 'z']);
    expect(asked.at(-1)).toContain('cursor=next');
  });

  it('takes of two readings at once only the later one', async () => {
    const { list } = await listOf(VIEWS.open, [open('a', 1)]);
    let answer: (page: Page) => void = () => undefined;
    answers.push(new Promise((resolve) => (answer = resolve)), { data: [open('b', 2)], next: null });
    const first = list.load();
    await list.load();
    answer({ data: [open('a', 1)], next: null });
    await first;
    expect(list.shown).toEqual(['b']);
  });
});

it('takes news into a list of 50,000 at nearly the cost of a list of 500', async () => {
  const cost = async (size: number): Promise<number> => {
    const { list, hear } = await listOf(VIEWS.open, Array.from({ length: size }, (_, at) => open(`cnv_${String(at).padStart(6, '0')}`, size - at)));
    // As in a browser: many events, one frame.
    const frames: (() => void)[] = [];
    vi.stubGlobal('requestAnimationFrame', (does: () => void) => frames.push(does));
    let best = Infinity;
    for (let round = 0; round < 5; round += 1) {
      const news = Array.from({ length: 200 }, (_, at) => open(`cnv_${String((at * 7919) % size).padStart(6, '0')}`, size + round * 1_000 + at));
      const began = performance.now();
      for (const one of news) hear(one, true);
      frames.splice(0).forEach((frame) => frame());
      best = Math.min(best, performance.now() - began);
    }
    expect(list.shown.length).toBe(size);
    return best;
  };
  const [short, long] = [await cost(500), await cost(50_000)];
  expect(long / short).toBeLessThan(15);
}, 60_000);
