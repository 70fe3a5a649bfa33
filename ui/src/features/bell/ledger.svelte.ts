import { SvelteMap } from 'svelte/reactivity';

import { ApiProblem, ask } from '../../lib/api/client';
import { conversations } from '../../lib/state/conversations.svelte';
import { session } from '../../lib/state/session.svelte';
import { stream } from '../../lib/stream/index.svelte';
import { beginningOf, endOf } from '../settings/lists/audit';
import { MOST, type Span } from './figures';
import { fits, newestFirst, NO_FILTER, placed, type Ring, type RingFilter } from './rings';

interface Page {
  data: Ring[];
  next?: string | null;
}

const PAGE = 50;
const LARGE_PAGE = 200;
/** How many names are asked for at once. */
const AT_ONCE = 4;
/** A conversation changes often; what its ring says of it is read once they settle, in milliseconds. */
const SETTLE_MS = 300;

/** A ring of an event or an answer; null where it is none. */
const ringOf = (value: unknown): Ring | null =>
  typeof value === 'object' && value !== null && 'id' in value && 'state' in value && Array.isArray((value as Ring).attempts) ? (value as Ring) : null;

const problemOf = (error: unknown): ApiProblem => (error instanceof ApiProblem ? error : new ApiProblem(-1, { title: String(error), detail: String(error) }));

const readRing = (id: string): Promise<Ring> => ask<Ring>('GET', `/api/v1/bell/${encodeURIComponent(id)}`);

/** The rings that are shown, kept right by the stream, and those of which the figures are made. */
export class Ledger {
  filter = $state.raw<RingFilter>(NO_FILTER);
  rings = $state.raw<Ring[]>([]);
  loaded = $state(false);
  busy = $state(false);
  problem = $state.raw<ApiProblem | null>(null);
  /** The one that is open, where the list does not hold it. */
  apart = $state.raw<Ring | null>(null);
  missing = $state(false);
  span = $state<Span>(168);
  /** All rings of the span, up to {@link MOST}; null until they were read. */
  counted = $state.raw<Ring[] | null>(null);
  /** There are more than were read. */
  capped = $state(false);
  #next = $state.raw<string | null>(null);
  #asked = 0;
  #askedSpan = 0;
  #askedOne = 0;
  #again = new Map<string, ReturnType<typeof setTimeout>>();

  get hasMore(): boolean {
    return this.#next !== null;
  }

  /** The daemon has no such route: an older one. */
  get cannot(): boolean {
    return this.problem?.status === 404;
  }

  get(id: string): Ring | undefined {
    return this.rings.find((ring) => ring.id === id) ?? (this.apart?.id === id ? this.apart : undefined);
  }

  /** Hears of rings; what it gives stops that. */
  start(): () => void {
    const offs = [
      ...['bell.rung', 'bell.acknowledged'].map((type) => stream.on(type, ({ data }) => this.take(data.ring))),
      // What ends a ring without a word of the bell changes its conversation.
      stream.on('conversation.updated', ({ data }) => this.#changed(data.conversation)),
      stream.on('reset', () => {
        void this.load();
        void this.count();
        if (this.apart) void this.open(this.apart.id, true);
      }),
    ];
    return () => {
      for (const off of offs) off();
      for (const timer of this.#again.values()) clearTimeout(timer);
    };
  }

  /** A ring as it stands now. */
  take(value: unknown): void {
    const ring = ringOf(value);
    if (!ring) return;
    const [from, to] = [beginningOf(this.filter.since), endOf(this.filter.until)];
    const fitting = fits(ring, this.filter, from ? Date.parse(from) : null, to ? Date.parse(to) : null);
    if (this.loaded) this.rings = placed(this.rings, ring, fitting, this.#next === null);
    if (this.apart?.id === ring.id) this.apart = ring;
    if (this.counted) this.counted = placed(this.counted, ring, true, true).slice(0, MOST);
  }

  async load(): Promise<void> {
    const asked = ++this.#asked;
    this.busy = true;
    try {
      const wanted = Math.max(PAGE, Math.min(this.rings.length, MOST));
      const found: Ring[] = [];
      let cursor: string | null = null;
      do {
        const page: Page = await this.#read(cursor, Math.min(LARGE_PAGE, wanted));
        if (asked !== this.#asked) return;
        found.push(...page.data);
        cursor = page.next ?? null;
        // With filters a page may be short before the end.
      } while (cursor && found.length < wanted);
      this.rings = found;
      this.#next = cursor;
      this.loaded = true;
      this.problem = null;
    } catch (error) {
      if (asked === this.#asked) this.problem = problemOf(error);
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }

  /** Other rings are wanted: what is shown is theirs no longer. */
  choose(filter: RingFilter): void {
    this.filter = filter;
    this.rings = [];
    this.#next = null;
    this.loaded = false;
    void this.load();
  }

  async more(): Promise<void> {
    if (!this.#next || this.busy) return;
    const asked = this.#asked;
    this.busy = true;
    try {
      const page = await this.#read(this.#next, PAGE);
      if (asked !== this.#asked) return;
      const known = new Set(this.rings.map((ring) => ring.id));
      this.rings = [...this.rings, ...page.data.filter((ring) => !known.has(ring.id))].sort(newestFirst);
      this.#next = page.next ?? null;
    } catch (error) {
      if (asked === this.#asked) this.problem = problemOf(error);
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }

  /** Makes sure that one is known; `again`: as it stands now. */
  async open(id: string, again = false): Promise<void> {
    const asked = ++this.#askedOne;
    this.missing = false;
    if (!again && this.get(id)) return;
    try {
      const ring = await readRing(id);
      if (asked !== this.#askedOne) return;
      if (this.rings.some((one) => one.id === id)) this.take(ring);
      else this.apart = ring;
    } catch (error) {
      if (asked === this.#askedOne && error instanceof ApiProblem && error.status === 404) this.missing = true;
    }
  }

  /** Takes one. Throws the daemon's problem where somebody was faster. */
  async acknowledge(id: string): Promise<void> {
    try {
      this.take(await ask<Ring>('POST', `/api/v1/bell/${encodeURIComponent(id)}/ack`));
    } catch (error) {
      void this.#readAgain(id);
      throw error;
    }
  }

  /** Reads the rings of the span for the figures. */
  async count(): Promise<void> {
    const asked = ++this.#askedSpan;
    const since = new Date(Date.now() - this.span * 3_600_000).toISOString();
    const found: Ring[] = [];
    let cursor: string | null = null;
    try {
      do {
        const query = new URLSearchParams({ limit: String(LARGE_PAGE), since, ...(cursor && { cursor }) });
        const page: Page = await ask<Page>('GET', `/api/v1/bell?${query}`);
        if (asked !== this.#askedSpan) return;
        found.push(...page.data);
        cursor = page.next ?? null;
        // A page that ends before the span does not mean that there is nothing behind it, but the newest come first:
        // once one is older than the span, the rest is.
      } while (cursor && found.length < MOST);
      this.capped = cursor !== null && found.length >= MOST;
      this.counted = found.slice(0, MOST);
    } catch {
      // The list says what is wrong.
      if (asked === this.#askedSpan) this.counted = null;
    }
  }

  #read(cursor: string | null, limit: number): Promise<Page> {
    const { state, channel, since, until } = this.filter;
    const query = new URLSearchParams({ limit: String(limit), ...(cursor && { cursor }), ...(state && { state }), ...(channel && { channel }) });
    const [from, to] = [beginningOf(since), endOf(until)];
    if (from) query.set('since', from);
    if (to) query.set('until', to);
    return ask<Page>('GET', `/api/v1/bell?${query}`);
  }

  #changed(conversation: unknown): void {
    const id = typeof conversation === 'object' && conversation !== null && 'id' in conversation ? conversation.id : null;
    const open = (ring: Ring) => ring.conversation_id === id && ring.state === 'ringing';
    const known = new Set([...this.rings, ...(this.counted ?? []), ...(this.apart ? [this.apart] : [])].filter(open).map((ring) => ring.id));
    for (const ring of known) {
      clearTimeout(this.#again.get(ring));
      this.#again.set(ring, setTimeout(() => void this.#readAgain(ring), SETTLE_MS));
    }
  }

  async #readAgain(id: string): Promise<void> {
    this.#again.delete(id);
    try {
      this.take(await readRing(id));
    } catch {
      // The next event or `reset` reads it.
    }
  }
}

/** Whose rings they are, by conversation: asked for as rows come into sight, a few at a time. */
class Names {
  #failed = new SvelteMap<string, 'gone' | 'away'>();
  #wanted: string[] = [];
  #known = new Set<string>();
  #running = 0;

  /** Whether the conversation does not exist any more, or is not this person's to see. */
  gone(id: string): boolean {
    return this.#failed.get(id) === 'gone';
  }

  want(id: string): void {
    if (this.#known.has(id) || conversations.get(id)) return;
    this.#known.add(id);
    this.#wanted.push(id);
    this.#run();
  }

  #run(): void {
    while (this.#running < AT_ONCE) {
      const id = this.#wanted.shift();
      if (id === undefined) return;
      this.#running += 1;
      void conversations
        .load(id)
        .catch((error: unknown) => {
          this.#failed.set(id, error instanceof ApiProblem && (error.status === 404 || error.status === 403) ? 'gone' : 'away');
          if (!this.gone(id)) this.#known.delete(id);
        })
        .finally(() => {
          this.#running -= 1;
          this.#run();
        });
    }
  }
}

export const names = new Names();

/** What devices are called: one's own, everybody's for administrators. A daemon that knows none has none. */
class DeviceNames {
  #names = new SvelteMap<string, string>();

  async load(): Promise<void> {
    try {
      const { data } = await ask<{ data: { id: string; name: string }[] }>('GET', `/api/v1/devices?limit=200${session.may('admin') ? '&user=all' : ''}`);
      for (const { id, name } of data) this.#names.set(id, name);
    } catch {
      // Then the kind of device is all that is said.
    }
  }

  get(id: string | null): string | null {
    return id ? (this.#names.get(id) ?? null) : null;
  }
}

export const deviceNames = new DeviceNames();
