import { api, ApiProblem, type Message } from '../../lib/api/client';
import { t } from '../../lib/i18n/index.svelte';
import { router } from '../../lib/router.svelte';
import { channels } from '../../lib/state/channels.svelte';
import { session } from '../../lib/state/session.svelte';
import { stream } from '../../lib/stream/index.svelte';
import { Book } from './book';
import { Policy, preferencesOf, quietUntil, type Preferences, type Sound } from './policy';
import { Sounds, type Readiness } from './sounds';
import { placeOf, STILL, type Told, type Waiting } from './things';

const PREFERENCES = 'deskbell.hearing';
const LEDGER = 'deskbell.hearing.ledger';
/** Who holds it sounds for all tabs of this browser. */
const LOCK = 'deskbell.hearing';
/** So many pages of what waits are read at the start: to know what rings, and no more than a badge can say. */
const PAGES = 3;
/** Of so many rings that nothing has shown yet the ledger hears at once that they stand here. */
const MOST_SHOWN = 20;
/** What could not be read is read again after this, in milliseconds. */
const AGAIN_MS = 15_000;

/** What tabs tell each other. */
type Word = { hushed: string } | { leads: boolean };

/** `on` it sounds here or in another tab; `blocked` the browser wants a click first; `quiet` the quiet hours. */
export type HearingStands = 'on' | 'off' | 'blocked' | 'quiet' | 'none';

/** Makes audible what the bell tells this person. One tab sounds; all tabs know what waits, so that another can take over at any time. */
class Hearing {
  preferences = $state<Preferences>(preferencesOf(kept(PREFERENCES)));
  /** How many wait that ring for this person. */
  waiting = $state(0);
  /** The alarms that ring for this person, the newest first. */
  alarms = $state.raw<readonly Told[]>([]);
  /** Until when it is quiet, in milliseconds. */
  quiet = $state<number | null>(null);
  #readiness = $state<Readiness>('blocked');
  #elsewhere = $state(false);
  #leads = false;
  #asks = false;
  #release: (() => void) | null = null;
  #sounds = new Sounds(() => this.#audio());
  #policy = new Policy();
  #words: BroadcastChannel | null = null;
  #started = false;
  #book = new Book();
  /** The rings of which the ledger has heard that they stand here. */
  #said = new Set<string>();
  /** What the stream has told since who waits was asked for, for the book; null where nothing is being read. */
  #meanwhile: (() => void)[] | null = null;
  #readAgain = false;
  #playing = false;
  #badge = -1;
  #seenAt = Number.NEGATIVE_INFINITY;

  get stands(): HearingStands {
    if (!this.preferences.on || this.preferences.volume <= 0) return 'off';
    if (this.#readiness === 'none') return 'none';
    if (this.#readiness === 'blocked' && !this.#elsewhere) return 'blocked';
    return this.quiet === null ? 'on' : 'quiet';
  }

  /** For measuring: what goes to the loudspeaker. */
  get analyser(): AnalyserNode | null {
    return this.#sounds.analyser;
  }

  /** Begins to listen; what it gives stops that. */
  start(): () => void {
    if (this.#started) return () => {};
    this.#started = true;
    const abort = new AbortController();
    const { signal } = abort;
    const ledger = kept(LEDGER) as { user?: unknown; known?: unknown } | null;
    this.#policy = new Policy(ledger?.user === session.me?.id ? ledger?.known : null, Date.now());
    const offs = [
      ...['conversation.created', 'conversation.updated', 'message.created', 'message.updated'].map((type) =>
        stream.on(type, ({ data }) => this.#changed(data.conversation, data.message))),
      stream.on('bell.rung', ({ data }) => this.#rung(data.ring)),
      stream.on('bell.acknowledged', ({ data }) => this.#rung(data.ring)),
      stream.on('reset', () => void this.#read()),
      stream.on('contact.deleted', () => void this.#read()),
      stream.onAlarm(() => void this.#ring()),
    ];
    if (typeof BroadcastChannel === 'function') {
      this.#words = new BroadcastChannel('deskbell.hearing');
      this.#words.addEventListener('message', ({ data }: MessageEvent<Word>) => this.#hear(data));
    }
    window.addEventListener('storage', ({ key }) => {
      if (key === PREFERENCES) {
        this.preferences = preferencesOf(kept(PREFERENCES));
        void this.#read();
        this.#lead();
      }
    }, { signal });
    for (const gesture of ['pointerdown', 'keydown', 'touchend'] as const) {
      addEventListener(gesture, () => {
        if (this.#readiness !== 'ready') void this.#sounds.wake();
      }, { signal, capture: true, passive: true });
    }
    for (const sign of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart', 'focus'] as const) {
      addEventListener(sign, () => this.#seen(), { signal, capture: true, passive: true });
    }
    document.addEventListener('visibilitychange', () => {
      void this.#look();
      this.#schedule();
    }, { signal });
    this.#audio();
    void this.#sounds.wake();
    void this.#look();
    void this.#read();
    return () => {
      abort.abort();
      for (const off of offs) off();
      this.#words?.close();
      this.#words = null;
      this.#stepDown();
      stream.alarm(null);
      this.#started = false;
      void navigator.clearAppBadge?.().catch(() => {});
      this.#badge = -1;
    };
  }

  set(change: Partial<Preferences>): void {
    const others = this.preferences.others;
    this.preferences = preferencesOf({ ...this.preferences, ...change });
    try {
      localStorage.setItem(PREFERENCES, JSON.stringify(this.preferences));
    } catch {
      // A browser that keeps nothing sounds so until it is closed.
    }
    if (others !== this.preferences.others) void this.#read();
    this.#lead();
  }

  /** By a click: the browser lets sound through from now on. */
  async enable(): Promise<void> {
    this.set({ on: true, ...(this.preferences.volume <= 0 && { volume: 0.7 }) });
    if (await this.#sounds.wake()) await this.#sounds.play('chat', this.preferences.volume * 0.6);
  }

  /** Lets somebody hear how it sounds. */
  async test(sound: Sound): Promise<void> {
    await this.#sounds.play(sound, this.preferences.volume, 0);
  }

  /** A conversation stands on the screen of somebody who does something: it was noticed. */
  opened(id: string): void {
    if (!this.#policy.hush(id, Date.now())) return;
    this.#words?.postMessage({ hushed: id } satisfies Word);
    this.#keep();
    this.#schedule();
  }

  /** A sign of life: whoever moves the pointer over an open conversation has noticed it. */
  #seen(): void {
    const now = performance.now();
    if (now - this.#seenAt < 500 || document.hidden) return;
    this.#seenAt = now;
    this.noticed();
  }

  /** What is open on this screen was noticed, if somebody was here just now. */
  noticed(): void {
    if (document.hidden || performance.now() - this.#seenAt > 5_000) return;
    const [room, one, two] = router.parts;
    const open = room === 'inbox' ? two : room === 'stream' || room === 'bell' ? one : undefined;
    if (open) this.opened(open);
  }

  #hear(word: Word): void {
    if ('hushed' in word) {
      this.#policy.hush(word.hushed, Date.now());
      this.#schedule();
    } else void this.#look();
  }

  #changed(conversation: unknown, message: unknown): void {
    if (typeof conversation !== 'object' || conversation === null || !('id' in conversation)) return;
    const { id } = conversation as Waiting;
    this.#hears(id, () => {
      this.#book.conversation(conversation as Waiting, Date.now());
      if (isAnswer(message)) this.#book.answering(id);
    });
  }

  #rung(value: unknown): void {
    if (!isRing(value)) return;
    const place = placeOf(value);
    this.#hears(place, () => this.#book.ring(value, Date.now()));
    // Somebody has it, and what was written until now is in good hands.
    if (value.state !== 'ringing' && this.#policy.hush(place, Date.now()) && this.#leads) this.#keep();
    // A step that comes while somebody writes the answer was noticed.
    this.noticed();
    this.#schedule();
    void this.#shows(value);
  }

  /** Takes in what the stream tells of a place, and once more behind what is being read: that may be older. */
  #hears(place: string, note: () => void): void {
    this.#meanwhile?.push(note);
    note();
    this.#settle(place, Date.now());
    this.#count();
    this.#schedule();
  }

  /** What rings for this person stands on this desk, and the ledger hears so: to have been shown is not to have been taken. */
  async #shows(ring: Told): Promise<void> {
    if (ring.state !== 'ringing' || !this.#policy.get(placeOf(ring)) || !session.may('write')) return;
    // One tab says it: the one that sounds, or where none does one that is looked at.
    if (!this.#leads && (this.#elsewhere || document.hidden)) return;
    const seen = this.stands === 'on' || !document.hidden;
    if (this.#said.size > 1_000) this.#said.clear();
    if (seen) this.#said.add(ring.id);
    try {
      await api.POST('/api/v1/bell/{id}/shown', {
        params: { path: { id: ring.id } },
        body: { device: 'desk', device_id: null, failed: !seen, detail: seen ? null : t('hearing.notShown') },
      });
    } catch {
      // The ledger misses a line; who rings next does not depend on it.
    }
  }

  /** What the book says of a place, from now on. */
  #settle(place: string, now: number): void {
    const listener = { me: session.userId, others: this.preferences.others };
    const ringing = this.#book.at(place, listener, (channel) => channels.get(channel)?.connector ?? '');
    if (ringing === STILL) return this.#policy.still(place);
    if (!ringing) return this.#policy.drop(place);
    const had = this.#policy.get(place);
    this.#policy.put(ringing, now);
    // Taken: what was written until now is in good hands.
    if (had?.untaken && !ringing.untaken && had.newest >= ringing.newest) this.#policy.hush(place, now);
  }

  /** Reads who waits and what rings: at the start, and where the stream says that what is known is old. */
  async #read(): Promise<void> {
    if (this.#meanwhile) {
      this.#readAgain = true;
      return;
    }
    this.#meanwhile = [];
    try {
      const found = await waitingConversations();
      // Behind them, so that none of them lacks its ring.
      const rings = await openRings();
      // What is not known rings: rather one too many.
      this.#book.set(found, rings ?? [], Date.now());
      // The answer may be older than what came while it was on its way. Only where all of that is in the book it is
      // looked what sounds: on the way there what rings by now may not have rung yet, or be over already.
      for (const note of this.#meanwhile) note();
      const now = Date.now();
      const places = this.#book.places();
      for (const id of this.#policy.ids) if (!places.has(id)) this.#policy.drop(id);
      for (const place of places) this.#settle(place, now);
      this.noticed();
      this.#count();
      this.#schedule();
      // What nothing has shown stands here now.
      const unshown = this.#book.rings().filter(({ id, attempts }) => attempts?.every(({ result }) => result !== 'shown') && !this.#said.has(id));
      for (const ring of unshown.slice(0, MOST_SHOWN)) void this.#shows(ring);
      if (!rings) this.#readLater();
    } catch {
      // The line is away: it says `reset` or resumes, and what comes then is heard.
      this.#readLater();
    } finally {
      this.#meanwhile = null;
      if (this.#readAgain) {
        this.#readAgain = false;
        void this.#read();
      }
    }
  }

  #readLater(): void {
    setTimeout(() => { if (this.#started) void this.#read(); }, AGAIN_MS);
  }

  #count(): void {
    this.waiting = this.#policy.size;
    const alarms = this.#book.alarms().filter(({ id }) => this.#policy.get(id)).sort((one, other) => (one.id < other.id ? 1 : -1));
    if (alarms.length > 0 || this.alarms.length > 0) this.alarms = alarms;
    if (this.waiting === this.#badge) return;
    this.#badge = this.waiting;
    void navigator.setAppBadge?.(this.waiting).catch(() => {});
  }

  #audio(): void {
    this.#readiness = this.#sounds.readiness;
    this.#lead();
  }

  /** Asks to be the tab that sounds, where it can; steps down where it cannot. */
  #lead(): void {
    this.#schedule();
    const can = this.#started && this.preferences.on && this.#readiness === 'ready';
    if (!can) return this.#stepDown();
    if (this.#leads || this.#asks) return;
    if (!navigator.locks) {
      // Without a secure origin there are no locks: the ledger keeps tabs from sounding twice.
      this.#leads = true;
      this.#schedule();
      return;
    }
    this.#asks = true;
    void navigator.locks
      .request(LOCK, () => {
        this.#asks = false;
        if (!this.#started || !this.preferences.on) return;
        this.#leads = true;
        this.#words?.postMessage({ leads: true } satisfies Word);
        this.#takeOver();
        return new Promise<void>((release) => { this.#release = release; });
      })
      .catch(() => { this.#asks = false; });
  }

  #stepDown(): void {
    if (!this.#leads) return;
    this.#leads = false;
    this.#release?.();
    this.#release = null;
    this.#words?.postMessage({ leads: false } satisfies Word);
    stream.alarm(null);
  }

  /** What the tab before this one has rung for must not ring again. */
  #takeOver(): void {
    const ledger = kept(LEDGER) as { user?: unknown; known?: unknown } | null;
    if (ledger?.user === session.me?.id) this.#policy.load(ledger?.known, Date.now());
    this.#schedule();
  }

  /** Whether another tab sounds. */
  async #look(): Promise<void> {
    if (!navigator.locks) return;
    const { held = [] } = await navigator.locks.query();
    this.#elsewhere = !this.#leads && held.some((lock) => lock.name === LOCK);
  }

  #schedule(): void {
    const now = Date.now();
    this.quiet = quietUntil(this.preferences, now);
    if (!this.#leads) return;
    stream.alarm(this.#policy.next(this.preferences, now));
  }

  async #ring(): Promise<void> {
    if (!this.#leads || this.#playing) return;
    this.#playing = true;
    try {
      if (!(await this.#sounds.wake())) return this.#audio();
      if (!navigator.locks) {
        await new Promise((done) => setTimeout(done, Math.random() * 400));
        this.#takeOver();
      }
      const ring = this.#policy.ring(this.preferences, Date.now());
      if (ring) {
        this.#keep();
        await this.#sounds.play(ring.sound, this.preferences.volume, ring.step);
      }
    } finally {
      this.#playing = false;
      this.#schedule();
    }
  }

  #keep(): void {
    try {
      localStorage.setItem(LEDGER, JSON.stringify({ user: session.me?.id, known: this.#policy.ledger(Date.now()) }));
    } catch {
      // A tab that takes over then rings once more than it had to.
    }
  }
}

function kept(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null');
  } catch {
    return null;
  }
}

const isRing = (value: unknown): value is Told =>
  typeof value === 'object' && value !== null && typeof (value as Told).id === 'string' && typeof (value as Told).state === 'string';

/** An answer of a person that is being sent. */
function isAnswer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { direction, kind, author, delivery } = value as Partial<Message>;
  return direction === 'outbound' && kind === 'message' && author?.type === 'staff' && delivery?.state === 'queued';
}

/** What rings now; null where it could not be read. An older daemon, or for whom it has no ledger, has none. */
async function openRings(): Promise<Told[] | null> {
  const found: Told[] = [];
  let cursor: string | undefined;
  try {
    for (let page = 0; page < PAGES; page += 1) {
      const { data } = await api.GET('/api/v1/bell', { params: { query: { state: 'ringing', limit: 200, ...(cursor && { cursor }) } } });
      found.push(...(data?.data ?? []));
      cursor = data?.next ?? undefined;
      if (!cursor) break;
    }
    return found;
  } catch (error) {
    return error instanceof ApiProblem && (error.status === 404 || error.status === 403) ? [] : null;
  }
}

async function waitingConversations(): Promise<Waiting[]> {
  const found: Waiting[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < PAGES; page += 1) {
    const { data } = await api.GET('/api/v1/conversations', { params: { query: { waiting: true, limit: 200, ...(cursor && { cursor }) } } });
    found.push(...(data?.data ?? []));
    cursor = data?.next ?? undefined;
    if (!cursor) break;
  }
  return found;
}

export const hearing = new Hearing();
