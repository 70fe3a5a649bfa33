import { beforeEach, describe, expect, it } from 'vitest';

import { Bell, type Options, type Tab } from './bell';
import { bytesOf } from './bytes';
import type { ThisDevice } from './kept';
import type { Carried } from './payload';

interface Standing {
  tag: string;
  title: string;
  body: string;
  options: Options;
  data: Carried;
  close(): void;
}

let standing: Map<string, Standing>;
let sounded: string[];
let asked: { line: string; body: unknown }[];
let answers: Record<string, [number, unknown] | 'away'>;
let known: ThisDevice | null;
let pushes: Set<string>;
let tabs: Tab[];
let opened: string[];
let later: (() => void)[];
let badges: number[];
let refuses: Error | null;
let subscription: PushSubscription | null;
let everyPushShows: boolean;

const subscribed = (endpoint: string) =>
  ({ endpoint, options: { applicationServerKey: null, userVisibleOnly: true }, toJSON: () => ({ endpoint, keys: { p256dh: 'p', auth: 'a' } }) }) as unknown as PushSubscription;

const bell = () =>
  new Bell({
    async show(title, options) {
      if (refuses) throw refuses;
      const tag = options.tag ?? '';
      if (!options.silent && (!standing.has(tag) || options.renotify)) sounded.push(title);
      standing.set(tag, { tag, title, body: options.body ?? '', options, data: options.data, close: () => void standing.delete(tag) });
    },
    shown: async (tag) => [...standing.values()].filter((one) => tag === undefined || one.tag === tag),
    tabs: async () => tabs,
    openTab: async (url) => opened.push(url),
    fetch: async (path, init) => {
      const line = `${init?.method} ${String(path)}`;
      asked.push({ line, body: init?.body ? JSON.parse(String(init.body)) : null });
      const answer = answers[line] ?? [200, {}];
      if (answer === 'away') throw new TypeError('away');
      return new Response(JSON.stringify(answer[1]), { status: answer[0] });
    },
    memory: { get: async () => known, set: async (device) => void (known = device) },
    pushes: { has: async (id) => pushes.has(id), add: async (id) => void pushes.add(id) },
    subscription: async () => subscription,
    subscribe: async () => (subscription = subscribed('new')),
    badge: (count) => badges.push(count),
    later: (_, what) => later.push(what),
    rest: async () => {},
    everyPushShows,
  });

const ring = (more: object = {}) => JSON.stringify({ type: 'ring', ring: 'rng_1', conversation: 'cnv_1', step: 1, title: 'Jana at Shop', body: 'Is it there?', ...more });
const taken = (more: object = {}) => JSON.stringify({ type: 'taken', ring: 'rng_1', conversation: 'cnv_1', ...more });
/** The event is over, and what was to happen behind it has happened. */
const passed = async () => {
  for (const what of later.splice(0)) what();
  await new Promise((done) => setTimeout(done));
};
const lines = () => asked.map(({ line }) => line);
const tab = (url: string, more: Partial<Tab> = {}): Tab => ({ url, focused: false, visibilityState: 'hidden', focus: async () => {}, navigate: async () => {}, postMessage: () => {}, ...more });
const click = (action: string) => bell().clicked(action, standing.values().next().value?.data);

beforeEach(() => {
  standing = new Map();
  pushes = new Set();
  [sounded, asked, answers, tabs, opened, later, badges] = [[], [], {}, [], [], [], []];
  known = { id: 'dev_1', user: 'usr_1', name: 'Firefox on Linux' };
  [refuses, subscription, everyPushShows] = [null, subscribed('old'), false];
});

describe('the same push again', () => {
  it('makes no sound and shows nothing anew, though another worker had it, and the ledger hears of it', async () => {
    await bell().push(ring({ id: 'wrk_1' }));
    const [one] = standing.values();
    await bell().push(ring({ id: 'wrk_1' }));
    expect(sounded).toHaveLength(1);
    expect([...standing.values()]).toEqual([one]);
    expect(lines().filter((line) => line === 'POST /api/v1/bell/rng_1/shown')).toHaveLength(2);
    // Somebody has waved it away: it does not come back.
    one?.close();
    await bell().push(ring({ id: 'wrk_1' }));
    expect([standing.size, sounded.length]).toEqual([0, 1]);
  });

  it('is known also while the first is being shown', async () => {
    const one = bell();
    await Promise.all([one.push(ring({ id: 'wrk_1' })), one.push(ring({ id: 'wrk_1' })), one.push(ring({ id: 'wrk_1' }))]);
    expect(sounded).toHaveLength(1);
  });

  it('sounds where the first could not be shown', async () => {
    refuses = new Error('no room');
    await bell().push(ring({ id: 'wrk_1' }));
    refuses = null;
    await bell().push(ring({ id: 'wrk_1' }));
    expect(sounded).toHaveLength(1);
  });

  it('is another one with another id, or without one', async () => {
    await bell().push(ring({ id: 'wrk_1' }));
    await bell().push(ring({ id: 'wrk_2' }));
    await bell().push(ring());
    await bell().push(ring());
    expect(sounded).toHaveLength(4);
  });

  it('is shown without a sound where the browser wants to see something of each', async () => {
    everyPushShows = true;
    await bell().push(ring({ id: 'wrk_1' }));
    standing.clear();
    await bell().push(ring({ id: 'wrk_1' }));
    expect([standing.size, sounded.length]).toEqual([1, 1]);
  });

  it('is a test that is confirmed again, and seen once', async () => {
    const test = JSON.stringify({ type: 'test', id: 'wrk_7', test: 'wrk_7', silent: false });
    await bell().push(test);
    await bell().push(test);
    expect(sounded).toHaveLength(1);
    expect(lines().filter((line) => line.endsWith('/confirm'))).toHaveLength(2);
  });
});

it('that a ring is over does not take a later one of the same customer away', async () => {
  await bell().push(ring({ ring: 'rng_2' }));
  await bell().push(taken());
  await passed();
  expect(standing.get('cnv_1')?.data.ring).toBe('rng_2');
  await bell().push(taken({ ring: 'rng_2' }));
  await passed();
  expect(standing.size).toBe(0);
});

describe('a ring', () => {
  it('stands until somebody acts, with what can be done, and the ledger hears that it was shown', async () => {
    await bell().push(ring());
    const [one] = standing.values();
    expect(one).toMatchObject({ tag: 'cnv_1', title: 'Jana at Shop', body: 'Is it there?' });
    expect(one?.options).toMatchObject({ requireInteraction: true, renotify: true });
    expect(one?.options.actions?.map(({ action }) => action)).toEqual(['take', 'answer']);
    expect(asked).toEqual([{ line: 'POST /api/v1/bell/rng_1/shown', body: { device: 'web-push', device_id: 'dev_1', failed: false, detail: null } }]);
    expect(badges).toEqual([1]);
  });

  it('of the next step replaces it and sounds again', async () => {
    await bell().push(ring());
    await bell().push(ring({ step: 2, body: 'Hello?' }));
    expect([...standing.values()].map(({ body }) => body)).toEqual(['Hello?']);
    expect(sounded).toHaveLength(2);
  });

  it('of a step that was held up on its way makes no sound over a later one', async () => {
    await bell().push(ring({ step: 3 }));
    await bell().push(ring({ step: 1 }));
    expect(sounded).toHaveLength(1);
    expect(standing.get('cnv_1')?.data.step).toBe(3);
  });

  it('of another ring of the same conversation sounds, though its step is smaller', async () => {
    await bell().push(ring({ step: 3 }));
    await bell().push(ring({ ring: 'rng_2', step: 1 }));
    expect(sounded).toHaveLength(2);
  });

  it('of other conversations stands beside it', async () => {
    await bell().push(ring());
    await bell().push(ring({ ring: 'rng_2', conversation: 'cnv_2' }));
    expect(standing.size).toBe(2);
    expect(badges.at(-1)).toBe(2);
  });

  it('that the browser does not show is told as failed, with the reason', async () => {
    refuses = new TypeError('No notification permission has been granted for this origin.');
    await bell().push(ring());
    expect(asked[0]?.body).toMatchObject({ failed: true, detail: expect.stringContaining('No notification permission') });
  });

  it('that was taken while it was on its way goes at once', async () => {
    answers['POST /api/v1/bell/rng_1/shown'] = [200, { id: 'rng_1', state: 'taken' }];
    await bell().push(ring());
    await passed();
    expect(standing.size).toBe(0);
  });

  it('is told by this device’s name also where that was forgotten, and without where the daemon does not know it', async () => {
    known = null;
    answers['POST /api/v1/devices'] = [200, { id: 'dev_7', user_id: 'usr_1' }];
    await bell().push(ring());
    expect(asked.map(({ body }) => body)).toEqual([
      { kind: 'web-push', name: 'Browser', subscription: { endpoint: 'old', keys: { p256dh: 'p', auth: 'a' } } },
      { device: 'web-push', device_id: 'dev_7', failed: false, detail: null },
    ]);
    asked = [];
    answers['POST /api/v1/bell/rng_1/shown'] = [422, {}];
    await bell().push(ring());
    expect(asked.at(-1)?.body).toMatchObject({ device_id: null, failed: false });
  });

  it('stays though the daemon cannot be reached, which is asked three times', async () => {
    answers['POST /api/v1/bell/rng_1/shown'] = 'away';
    await bell().push(ring());
    expect(asked).toHaveLength(3);
    expect(standing.size).toBe(1);
  });

  it('that cannot be read rings all the same', async () => {
    for (const bad of [null, '{', '{"type":"later"}']) {
      standing.clear();
      await bell().push(bad);
      expect([...standing.values()].map(({ title }) => title), String(bad)).toEqual(['Something rings']);
    }
  });
});

describe('taken', () => {
  it('says so without a sound, and is gone once the event is over', async () => {
    await bell().push(ring());
    await bell().push(taken());
    // Browsers count what stands when the event ends.
    expect(standing.size).toBe(1);
    expect(standing.get('cnv_1')?.options).toMatchObject({ silent: true, renotify: false });
    expect(badges.at(-1)).toBe(0);
    await passed();
    expect(standing.size).toBe(0);
    expect(sounded).toHaveLength(1);
  });

  it('closes its own at once where others stand', async () => {
    await bell().push(ring());
    await bell().push(ring({ ring: 'rng_2', conversation: 'cnv_2' }));
    await bell().push(taken());
    expect([...standing.keys()]).toEqual(['cnv_2']);
    expect(badges.at(-1)).toBe(1);
  });

  it('shows nothing where nothing stands, but in a browser that wants to see every push', async () => {
    await bell().push(taken());
    expect(standing.size).toBe(0);
    everyPushShows = true;
    await bell().push(taken());
    expect(standing.size).toBe(1);
    await passed();
    expect(standing.size).toBe(0);
  });

  it('that was left over by a worker that ended is swept by the next push', async () => {
    await bell().push(ring());
    await bell().push(taken());
    later = [];
    await bell().push(ring({ ring: 'rng_2', conversation: 'cnv_2' }));
    expect([...standing.keys()]).toEqual(['cnv_2']);
  });
});

describe('a test', () => {
  it('is shown and confirmed', async () => {
    await bell().push(JSON.stringify({ type: 'test', test: 't-1', silent: false }));
    expect(sounded).toHaveLength(1);
    expect(asked).toEqual([{ line: 'POST /api/v1/devices/dev_1/confirm', body: { test: 't-1', failed: false, detail: null } }]);
  });

  it('that is silent is confirmed, and leaves nothing', async () => {
    await bell().push(JSON.stringify({ type: 'test', test: 't-2', silent: true }));
    expect(sounded).toEqual([]);
    expect(lines()).toEqual(['POST /api/v1/devices/dev_1/confirm']);
    await passed();
    expect(standing.size).toBe(0);
  });

  it('that is silent shows nothing while somebody looks at the desk', async () => {
    tabs = [tab('http://desk.example/', { visibilityState: 'visible' })];
    await bell().push(JSON.stringify({ type: 'test', test: 't-2', silent: true }));
    expect(standing.size).toBe(0);
    expect(lines()).toEqual(['POST /api/v1/devices/dev_1/confirm']);
  });

  it('that cannot be shown is told as failed', async () => {
    refuses = new TypeError('denied');
    await bell().push(JSON.stringify({ type: 'test', test: 't-3' }));
    expect(asked[0]?.body).toMatchObject({ test: 't-3', failed: true, detail: expect.stringContaining('denied') });
  });
});

describe('a click', () => {
  it('on “I take it” takes it, and opens nothing', async () => {
    await bell().push(ring());
    await click('take');
    expect(lines().at(-1)).toBe('POST /api/v1/bell/rng_1/ack');
    expect(standing.size).toBe(0);
    expect(opened).toEqual([]);
  });

  it('on “I take it” says that somebody was faster', async () => {
    await bell().push(ring());
    answers['POST /api/v1/bell/rng_1/ack'] = [409, { detail: 'It was taken by usr_2.' }];
    await click('take');
    expect(standing.get('cnv_1')).toMatchObject({ title: 'Somebody was faster', data: { type: 'word' } });
    expect(standing.get('cnv_1')?.options.actions).toEqual([]);
  });

  it('on “I take it” rings on where it could not be taken', async () => {
    for (const [answer, words] of [['away', /could not be reached/], [[401, {}], /Sign in/], [[403, {}], /may not/], [[500, {}], /could not be reached/]] as const) {
      await bell().push(ring());
      answers['POST /api/v1/bell/rng_1/ack'] = answer as [number, unknown] | 'away';
      await click('take');
      const one = standing.get('cnv_1');
      expect(one?.title).toBe('Not taken');
      expect(one?.body).toMatch(words);
      expect(one?.options.actions?.[0]?.action).toBe('take');
      expect(one?.data.type).toBe('ring');
    }
  });

  it('leads a tab of the desk that is open, the one in front first, and never one of another page', async () => {
    const led: string[] = [];
    const hears = (name: string) => (message: unknown, [port]: Transferable[]) => {
      led.push(`${name} ${(message as { go: string }).go}`);
      (port as MessagePort).postMessage('heard');
    };
    tabs = [tab('http://desk.example/docs', { focused: true, visibilityState: 'visible' }), tab('http://desk.example/desk/stream', { postMessage: hears('behind') }), tab('http://desk.example/', { visibilityState: 'visible', postMessage: hears('front') })];
    await bell().push(ring());
    await click('answer');
    expect(led).toEqual(['front /desk/inbox/open/cnv_1']);
    expect(opened).toEqual([]);
  });

  it('leads a tab that does not hear by the browser, and opens one where there is none', async () => {
    const went: string[] = [];
    tabs = [tab('http://desk.example/', { navigate: async (url) => void went.push(url) })];
    await bell().push(ring());
    await click('');
    expect(went).toEqual(['/desk/inbox/open/cnv_1']);
    tabs = [];
    await click('answer');
    expect(opened).toEqual(['/desk/inbox/open/cnv_1']);
  });

  it('on an alarm offers to open the alarm', async () => {
    await bell().push(ring({ conversation: null }));
    expect(standing.get('rng_1')?.options.actions?.map(({ action }) => action)).toEqual(['take', 'open']);
    await click('open');
    expect(opened).toEqual(['/desk/bell/rng_1']);
  });
});

describe('a subscription that the browser gave up', () => {
  it('is made anew under the old name, and the old device goes', async () => {
    answers['POST /api/v1/devices'] = [201, { id: 'dev_2', user_id: 'usr_1' }];
    await bell().changed(subscribed('old'), subscribed('fresh'));
    expect(asked[0]?.body).toMatchObject({ name: 'Firefox on Linux', subscription: { endpoint: 'fresh' } });
    expect(lines()).toEqual(['POST /api/v1/devices', 'DELETE /api/v1/devices/dev_1']);
    expect(known).toEqual({ id: 'dev_2', user: 'usr_1', name: 'Firefox on Linux' });
  });

  it('is asked for by the daemon’s key where the browser brings no new one', async () => {
    subscription = null;
    answers['GET /api/v1/push-key'] = [200, { key: 'BAEC' }];
    answers['POST /api/v1/devices'] = [201, { id: 'dev_2', user_id: 'usr_1' }];
    await bell().changed(null, null);
    expect(lines()).toEqual(['GET /api/v1/push-key', 'POST /api/v1/devices', 'DELETE /api/v1/devices/dev_1']);
  });

  it('keeps the old device where the new one cannot be told', async () => {
    answers['POST /api/v1/devices'] = [503, {}];
    await bell().changed(null, subscribed('fresh'));
    expect(lines()).not.toContain('DELETE /api/v1/devices/dev_1');
    expect(known?.id).toBe('dev_1');
  });
});

it('reads base64url', () => {
  expect([...bytesOf('BP_-')]).toEqual([4, 255, 254]);
});
