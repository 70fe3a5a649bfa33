import { bytesOf } from './bytes';
import type { Memory, Pushes } from './kept';
import { addressOf, isDesk, payloadOf, tagOf, type Carried, type Payload } from './payload';
import { wordsFor, type PushWords } from './words';

/** What TypeScript's own list of a notification's options lacks. */
export interface Options extends NotificationOptions {
  renotify?: boolean;
  actions?: { action: string; title: string }[];
  timestamp?: number;
  data: Carried;
}

/** What of a notification is used. */
export interface Shown {
  tag: string;
  title: string;
  data: unknown;
  close(): void;
}

/** What of an open tab is used. */
export interface Tab {
  url: string;
  focused: boolean;
  visibilityState: DocumentVisibilityState;
  focus(): Promise<unknown>;
  navigate(url: string): Promise<unknown>;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

/** Everything that the worker touches, so that a test can stand in for the browser. */
export interface Surroundings {
  show(title: string, options: Options): Promise<void>;
  shown(tag?: string): Promise<Shown[]>;
  tabs(): Promise<Tab[]>;
  openTab(url: string): Promise<unknown>;
  fetch: typeof fetch;
  memory: Memory;
  pushes: Pushes;
  /** In the language of who sits here; English where there is none of it. */
  words?(): Promise<PushWords>;
  subscription(): Promise<PushSubscription | null>;
  subscribe(key: BufferSource): Promise<PushSubscription>;
  badge(count: number): void;
  /** Once the event is over, for what must still be there when it ends. */
  later(milliseconds: number, what: () => void): void;
  /** Milliseconds. */
  rest(milliseconds: number): Promise<void>;
  /** Safari takes the right to push away from who shows nothing for one. */
  everyPushShows: boolean;
}

const ICON = '/icon-192.png';
const BADGE = '/badge-96.png';
/** The one for tests: the next replaces it. */
const TEST = 'deskbell-test';
/** What the daemon is asked again after, in milliseconds: the network of a machine that has just woken needs a moment. */
const AGAIN_MS = [700, 3_000];
/** Browsers look whether a push has shown something when its event ends: what is to pass goes a moment later. */
const PASSES_MS = 400;
/** A tab that hears nothing of this worker for so long is led by the browser itself, in milliseconds. */
const DEAF_MS = 700;

/** Read anew for each event: the person may have chosen another language since. */
let words: PushWords = wordsFor('en', []);

const carried = (data: unknown): Carried | null =>
  typeof data === 'object' && data !== null && 'type' in data ? (data as Carried) : null;

/** What a worker does about pushes and clicks. It keeps nothing of what the daemon answers. */
export class Bell {
  #around: Surroundings;
  /** The pushes that are being shown, by their ids: the same one may come again meanwhile. */
  #showing = new Map<string, Promise<void>>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  async push(text: string | null): Promise<void> {
    await this.#read();
    await this.#sweep();
    const payload = payloadOf(text);
    if (!payload) return this.#unread();
    if (payload.type === 'taken') await this.#over(tagOf(payload), payload.ring);
    else await this.#once(payload.id, (again) => (payload.type === 'ring' ? this.#ring(payload, again) : this.#test(payload, again)));
    await this.#count();
  }

  /**
   * A daemon that was killed between sending and writing down that it had sends the same again: `what` hears so. What could
   * not be shown counts as never sent.
   */
  async #once(id: string | null, what: (again: boolean) => Promise<boolean>): Promise<void> {
    if (id === null) return void (await what(false));
    const before = this.#showing.get(id) ?? Promise.resolve();
    const now = before.then(async () => {
      const again = await this.#around.pushes.has(id);
      if ((await what(again)) && !again) await this.#around.pushes.add(id);
    });
    const over = now.catch(() => {});
    this.#showing.set(id, over);
    void over.then(() => this.#showing.get(id) === over && this.#showing.delete(id));
    return now;
  }

  async clicked(action: string, data: unknown): Promise<void> {
    await this.#read();
    const about = carried(data);
    if (action === 'take' && about?.ring) await this.#take(about.ring, about);
    else await this.#open(addressOf(about ?? { type: 'word', ring: null, conversation: null }));
    await this.#count();
  }

  /** The browser has given its subscription up: the daemon hears of the new one, under the old one's name. */
  async changed(old: PushSubscription | null, fresh: PushSubscription | null): Promise<void> {
    const known = await this.#around.memory.get();
    if (!known) return;
    const subscription = fresh ?? (await this.#around.subscription()) ?? (await this.#subscribe(old));
    if (!subscription) return;
    if (await this.#register(subscription)) await this.#ask('DELETE', `/api/v1/devices/${encodeURIComponent(known.id)}`);
  }

  async #read(): Promise<void> {
    if (this.#around.words) words = await this.#around.words();
  }

  /** Gives whether it could be shown. `again`: it was, and the daemon does not know. */
  async #ring(payload: Payload & { type: 'ring' }, again: boolean): Promise<boolean> {
    const tag = tagOf(payload);
    if (again && !this.#around.everyPushShows) {
      await this.#reached(payload, tag, null);
      return true;
    }
    const had = carried((await this.#around.shown(tag))[0]?.data);
    // One that was held up on its way must not take a later step's place with a sound of its own.
    const late = had?.type === 'ring' && had.ring === payload.ring && had.step > payload.step;
    let failure: string | null = null;
    try {
      await this.#around.show(payload.title || words['push.untitled'], {
        body: payload.body,
        tag,
        icon: ICON,
        badge: BADGE,
        silent: again,
        renotify: !late && !again,
        requireInteraction: true,
        timestamp: Date.now(),
        actions: [
          { action: 'take', title: words['push.take'] },
          payload.conversation ? { action: 'answer', title: words['push.answer'] } : { action: 'open', title: words['push.open'] },
        ],
        data: { type: 'ring', ring: payload.ring, conversation: payload.conversation, step: late ? had.step : payload.step, passing: false },
      });
    } catch (error) {
      failure = reasonOf(error);
    }
    await this.#reached(payload, tag, failure);
    return failure === null;
  }

  /** The ledger hears that it was shown, and this device whether it is over by now. */
  async #reached(payload: Payload & { type: 'ring' }, tag: string, failure: string | null): Promise<void> {
    const answer = await this.#shown(payload.ring, failure);
    if (!answer?.ok) return;
    const ring = (await answer.json().catch(() => null)) as { state?: unknown } | null;
    // Taken while this was on its way.
    if (ring && typeof ring.state === 'string' && ring.state !== 'ringing') await this.#over(tag, payload.ring);
  }

  /** The ledger hears that it stands on this device, or why not. */
  async #shown(ring: string, failure: string | null): Promise<Response | null> {
    const about = { device: 'web-push', failed: failure !== null, detail: failure };
    const path = `/api/v1/bell/${encodeURIComponent(ring)}/shown`;
    const answer = await this.#ask('POST', path, { ...about, device_id: await this.#device() });
    // The daemon does not know this device any more: that it was shown is true all the same.
    return answer?.status === 422 || answer?.status === 400 ? this.#ask('POST', path, { ...about, device_id: null }) : answer;
  }

  async #test({ test, silent }: Payload & { type: 'test' }, again: boolean): Promise<boolean> {
    const watched = (await this.#around.tabs()).some((tab) => tab.visibilityState === 'visible');
    let failure: string | null = null;
    try {
      // Somebody looks at the desk: then browsers do not ask for a sign of each push, and a silent one needs none.
      if (!again && (!silent || !watched) || this.#around.everyPushShows) {
        await this.#around.show(words[silent ? 'push.checking' : 'push.test'], {
          ...(!silent && { body: words['push.testBody'] }),
          tag: TEST,
          icon: ICON,
          badge: BADGE,
          silent: silent || again,
          renotify: !silent && !again,
          data: { type: 'test', ring: null, conversation: null, step: 0, passing: silent },
        });
      }
    } catch (error) {
      failure = reasonOf(error);
    }
    const device = await this.#device();
    if (device) await this.#ask('POST', `/api/v1/devices/${encodeURIComponent(device)}/confirm`, { test, failed: failure !== null, detail: failure });
    if (silent) this.#around.later(PASSES_MS, () => void this.#sweep());
    return failure === null;
  }

  /** What this worker cannot read rings all the same: nothing that was sent stays unheard. */
  async #unread(): Promise<void> {
    await this.#around.show(words['push.unread'], {
      body: words['push.unreadBody'],
      tag: 'deskbell',
      icon: ICON,
      badge: BADGE,
      renotify: true,
      data: { type: 'word', ring: null, conversation: null, step: 0, passing: false },
    });
  }

  /**
   * Somebody has it. Browsers want to see something of every push when its event ends: what stands there says so without a
   * sound, and goes at once behind it. Where nothing stands nothing is shown. A later ring in the same place rings on.
   */
  async #over(tag: string, ring: string): Promise<void> {
    const standing = (await this.#around.shown(tag)).map((one) => ({ one, about: carried(one.data) }));
    if (standing.some(({ about }) => about?.type === 'ring' && about.ring !== ring)) return;
    const there = standing.filter(({ about }) => !about?.passing).map(({ one }) => one);
    const others = (await this.#around.shown()).some((one) => one.tag !== tag);
    if (others && !this.#around.everyPushShows) {
      for (const one of there) one.close();
      return;
    }
    if (there.length === 0 && !this.#around.everyPushShows) return;
    await this.#around.show(there[0]?.title ?? words['push.taken'], {
      ...(there.length > 0 && { body: words['push.taken'] }),
      tag,
      icon: ICON,
      badge: BADGE,
      silent: true,
      renotify: false,
      data: { type: 'word', ring: null, conversation: null, step: 0, passing: true },
    });
    this.#around.later(PASSES_MS, () => void this.#sweep());
  }

  async #take(ring: string, about: Carried): Promise<void> {
    const tag = tagOf({ ring, conversation: about.conversation });
    const answer = await this.#ask('POST', `/api/v1/bell/${encodeURIComponent(ring)}/ack`);
    if (answer?.ok) {
      for (const one of await this.#around.shown(tag)) one.close();
      return;
    }
    const problem = (await answer?.json().catch(() => null)) as { detail?: unknown } | null | undefined;
    const late = answer?.status === 409 || answer?.status === 404;
    const why = answer === null ? words['push.unreachable'] : answer.status === 401 ? words['push.signedOut'] : answer.status === 403 ? words['push.notAllowed'] : null;
    const told = typeof problem?.detail === 'string' ? problem.detail.slice(0, 300) : '';
    await this.#around.show(late ? words['push.late'] : words['push.notTaken'], {
      body: late ? words['push.lateBody'] : (why ?? (told || words['push.unreachable'])),
      tag,
      icon: ICON,
      badge: BADGE,
      renotify: true,
      requireInteraction: !late,
      // It rings on: what can be done about it stays at hand.
      actions: late ? [] : [{ action: 'take', title: words['push.take'] }, { action: 'open', title: words['push.open'] }],
      data: { ...about, type: late ? 'word' : 'ring' },
    });
  }

  /** Shows a tab of the desk that is open, where it should be; opens one where there is none. */
  async #open(path: string): Promise<void> {
    const tabs = (await this.#around.tabs()).filter((tab) => isDesk(tab.url));
    const tab = tabs.find((one) => one.focused) ?? tabs.find((one) => one.visibilityState === 'visible') ?? tabs[0];
    if (!tab) {
      await this.#around.openTab(path);
      return;
    }
    // The focus first: browsers give it only for a moment after the click.
    await tab.focus().catch(() => {});
    // The tab goes there itself, so that nothing that is being written in it is lost.
    if (!(await hears(tab, path))) await tab.navigate(path).catch(() => this.#around.openTab(path));
  }

  /** Closes what was only to pass by. */
  async #sweep(): Promise<void> {
    for (const one of await this.#around.shown()) if (carried(one.data)?.passing) one.close();
  }

  /** The number on the desk's icon, where no tab is there to count better. */
  async #count(): Promise<void> {
    if ((await this.#around.tabs()).some((tab) => isDesk(tab.url))) return;
    this.#around.badge((await this.#around.shown()).filter((one) => carried(one.data)?.type === 'ring').length);
  }

  /** Which device this is. Where that was forgotten, the daemon tells it for the subscription that stands. */
  async #device(): Promise<string | null> {
    const known = await this.#around.memory.get();
    if (known) return known.id;
    const subscription = await this.#around.subscription().catch(() => null);
    return subscription ? this.#register(subscription) : null;
  }

  async #register(subscription: PushSubscription): Promise<string | null> {
    const known = await this.#around.memory.get();
    const name = known?.name ?? 'Browser';
    const { endpoint, keys } = subscription.toJSON();
    const answer = await this.#ask('POST', '/api/v1/devices', { kind: 'web-push', name, subscription: { endpoint, keys } });
    const device = answer?.ok ? ((await answer.json().catch(() => null)) as { id?: unknown; user_id?: unknown } | null) : null;
    if (typeof device?.id !== 'string') return null;
    await this.#around.memory.set({ id: device.id, user: String(device.user_id ?? known?.user ?? ''), name });
    return device.id;
  }

  async #subscribe(old: PushSubscription | null): Promise<PushSubscription | null> {
    const key = old?.options.applicationServerKey ?? (await this.#serverKey());
    return key && this.#around.subscribe(key).catch(() => null);
  }

  async #serverKey(): Promise<BufferSource | null> {
    const answer = await this.#ask('GET', '/api/v1/push-key');
    const told = answer?.ok ? ((await answer.json().catch(() => null)) as { key?: unknown } | null) : null;
    return typeof told?.key === 'string' ? bytesOf(told.key) : null;
  }

  /** Asks the daemon, again where it could not be reached; null where it cannot. */
  async #ask(method: string, path: string, body?: unknown): Promise<Response | null> {
    for (let tries = 0; ; tries += 1) {
      const answer = await this.#around
        .fetch(path, {
          method,
          cache: 'no-store',
          credentials: 'same-origin',
          ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
        })
        .catch(() => null);
      const wait = AGAIN_MS[tries];
      if ((answer && answer.status < 500 && answer.status !== 429) || wait === undefined) return answer;
      await this.#around.rest(wait);
    }
  }
}

const reasonOf = (error: unknown): string => `${words['push.hidden']} ${error instanceof Error ? error.message : String(error)}`.slice(0, 300);

async function hears(tab: Tab, path: string): Promise<boolean> {
  const { port1, port2 } = new MessageChannel();
  try {
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), DEAF_MS);
      port1.onmessage = () => {
        clearTimeout(timer);
        resolve(true);
      };
      tab.postMessage({ go: path }, [port2]);
    });
  } finally {
    port1.close();
  }
}
