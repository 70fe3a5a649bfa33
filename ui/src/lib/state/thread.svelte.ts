import { untrack } from 'svelte';

import { ApiProblem, ask, type Message } from '../api/client';
import { group, place, type Row } from '../../features/conversation/group';
import { stream, type DeskEvent } from '../stream/index.svelte';
import { conversations, type Conversation } from './conversations.svelte';
import { session } from './session.svelte';

/** Somebody who is at a conversation now. */
export interface Present {
  id: string;
  name: string;
  state: 'viewing' | 'typing' | 'noting';
  /** Milliseconds of the clock after which they are taken for gone. */
  until: number;
}

const PAGE = 60;
/** More messages than these are not kept of a conversation that is left. */
const MOST_KEPT = 400;
/** What is read at once on the way to a message far up. */
const LONG_PAGE = 200;
/** Rows of a piece of the thread that is drawn or left out as a whole. */
const PIECE = 40;

/** Rows that are drawn together or not at all. `no` stays the same while older ones come. */
export interface ThreadPiece {
  no: number;
  rows: Row[];
}

/** One conversation, as far as it was read. */
export class Thread {
  readonly id: string;
  /** Oldest first. */
  messages = $state.raw<readonly Message[]>([]);
  /** Whether the newest messages are here. */
  loaded = $state(false);
  /** Why they are not. */
  problem = $state.raw<ApiProblem | null>(null);
  /** Whether there is nothing older. */
  complete = $state(false);
  readingOlder = $state(false);
  present = $state.raw<readonly Present[]>([]);
  /** Until when the customer is shown to type, in milliseconds of the clock. */
  typingUntil = $state(0);

  #rows = new Map<string, Row>();
  /** The rows of {@link messages}. */
  rows: Row[] = $derived.by(() => {
    const rows = group(this.messages, this.#rows);
    this.#rows = new Map(rows.map((row) => [row.message.id, row]));
    return rows;
  });
  pieces: ThreadPiece[] = $derived.by(() => {
    const found: ThreadPiece[] = [];
    this.rows.forEach((row, index) => {
      const no = Math.floor((index - this.#prepended) / PIECE);
      const last = found.at(-1);
      if (last?.no === no) last.rows.push(row);
      else found.push({ no, rows: [row] });
    });
    return found;
  });

  /** How many messages came from above: what pieces are counted from. */
  #prepended = 0;
  #next: string | null = null;
  /** Where each page began, and what comes above it: so much can be let go of and read again. */
  #pages: { oldest: string; next: string | null }[] = [];
  /** What the stream told while a page was on its way: it may be newer than the page. */
  #meanwhile: Message[] | null = null;
  #loading: Promise<void> | null = null;
  #reading: Promise<void> | null = null;
  /** The last message as the list had it when this was opened: all that is seen of it until the messages are here. */
  #listed: string | null;

  constructor(id: string) {
    this.id = id;
    this.#listed = untrack(() => conversations.get(id)?.last_message?.id ?? null);
  }

  /** The conversation itself, as all of the desk knows it. */
  get conversation(): Conversation | null {
    return conversations.get(this.id) ?? null;
  }

  get(id: string): Message | undefined {
    return this.#rows.get(id)?.message ?? this.messages.find((message) => message.id === id);
  }

  get newest(): Message | undefined {
    return this.messages.at(-1);
  }

  /** The newest message that whoever writes here has seen; null where nothing is known. */
  get seen(): string | null {
    return this.loaded ? (this.newest?.id ?? null) : this.#listed;
  }

  /** Reads the conversation and its newest messages; what is here stays until then. */
  load(): Promise<void> {
    return (this.#loading ??= this.#load().finally(() => (this.#loading = null)));
  }

  async #load(): Promise<void> {
    this.#meanwhile = [];
    try {
      const [, page] = await Promise.all([
        conversations.load(this.id, true).then((found) => (this.#listed ??= found.last_message?.id ?? null)),
        this.#page(PAGE),
      ]);
      const newest = page.data;
      this.#prepended = 0;
      this.messages = newest.toReversed();
      this.#next = page.next;
      this.complete = this.#next === null;
      this.#pages = [];
      this.#mark();
      for (const message of this.#meanwhile) this.messages = place(this.messages, message);
      this.problem = null;
      this.loaded = true;
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error;
      this.problem = error;
    } finally {
      this.#meanwhile = null;
    }
  }

  /** Reads the page above. */
  older(limit = PAGE): Promise<void> {
    if (this.complete || !this.#next) return Promise.resolve();
    return (this.#reading ??= this.#older(limit, this.#next).finally(() => (this.#reading = null)));
  }

  async #older(limit: number, cursor: string): Promise<void> {
    this.readingOlder = true;
    try {
      const page = await this.#page(limit, cursor);
      const known = new Set(this.messages.map((message) => message.id));
      const above = page.data.filter((message) => !known.has(message.id)).toReversed();
      this.#prepended += above.length;
      this.messages = [...above, ...this.messages];
      this.#next = page.next;
      this.complete = this.#next === null;
      this.#mark();
    } finally {
      this.readingOlder = false;
    }
  }

  /** Reads upward until a message is here; whether it is. */
  async find(id: string): Promise<boolean> {
    await this.#loading;
    while (!this.messages.some((message) => message.id === id)) {
      if (this.complete) return false;
      await this.older(LONG_PAGE);
    }
    return true;
  }

  /** A page of the messages, newest first. */
  #page(limit: number, cursor?: string): Promise<{ data: Message[]; next: string | null }> {
    return ask('GET', `/api/v1/conversations/${encodeURIComponent(this.id)}/messages?limit=${limit}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
  }

  #mark(): void {
    const oldest = this.messages[0];
    if (oldest) this.#pages.push({ oldest: oldest.id, next: this.#next });
  }

  /** Lets go of what is far up, so that opening it again costs the same however far somebody has read. */
  trim(): void {
    if (this.messages.length <= MOST_KEPT || this.readingOlder || this.#loading) return;
    const from = new Map(this.messages.map((message, index) => [message.id, index]));
    const page = this.#pages.findIndex(({ oldest }) => this.messages.length - (from.get(oldest) ?? this.messages.length) >= MOST_KEPT / 2);
    const kept = this.#pages[page];
    const index = kept && from.get(kept.oldest);
    if (!kept || index === undefined || index === 0) return;
    this.messages = this.messages.slice(index);
    this.#pages = this.#pages.slice(0, page + 1);
    this.#next = kept.next;
    this.complete = kept.next === null;
    this.#prepended = 0;
  }

  /** Takes a message as it is now. */
  take(message: Message): void {
    this.#meanwhile?.push(message);
    if (!this.loaded) return;
    // What is older than all that is here belongs to a page that is not.
    const oldest = this.messages[0];
    if (!this.complete && oldest && Date.parse(message.sent_at) < Date.parse(oldest.sent_at) && !this.#rows.has(message.id)) return;
    this.messages = place(this.messages, message);
  }

  /** Takes who is here. */
  see(who: Present | { id: string; state: 'left' }): void {
    const others = this.present.filter((one) => one.id !== who.id);
    this.present = who.state === 'left' ? others : [...others, who];
  }
}

const KEPT = 40;
/** A daemon that knows of no presence answers 404: it is not asked again. */
let presence = true;

/** The conversations that were opened lately: opened again they are there at once, and news reach them meanwhile. */
class Threads {
  #kept = new Map<string, Thread>();
  #owner: string | null = null;

  constructor() {
    stream.on('message.created', (event) => this.#message(event));
    stream.on('message.updated', (event) => this.#message(event));
    stream.on('reset', () => {
      for (const thread of this.#kept.values()) void thread.load();
    });
    // What was read before the line stood may have changed in between, and nobody would tell.
    $effect.root(() => {
      let wasLive = false;
      $effect(() => {
        if (stream.state !== 'live' || wasLive) return;
        wasLive = true;
        for (const thread of this.#kept.values()) void thread.load();
      });
    });
    stream.on('typing', ({ data }) => {
      const by = (data.by ?? {}) as { type?: string; id?: string | null; name?: string | null };
      const thread = this.#kept.get(String(data.conversation_id));
      if (!thread) return;
      if (by.type === 'contact') thread.typingUntil = data.typing ? Date.now() + 8_000 : 0;
    });
    stream.on('presence', ({ data }) => {
      const user = (data.user ?? {}) as { id?: string; name?: string };
      const thread = this.#kept.get(String(data.conversation_id));
      if (!thread || !user.id || user.id === session.userId || user.id === session.me?.id) return;
      const state = data.state as Present['state'] | 'left';
      const until = Date.parse(String(data.until)) || Date.now() + 30_000;
      thread.see(state === 'left' ? { id: user.id, state } : { id: user.id, name: user.name ?? '', state, until });
    });
  }

  /** A conversation: what is known of it at once, the rest when it comes. */
  open(id: string): Thread {
    const thread = this.#of(id);
    void this.#look(thread);
    return thread;
  }

  /** Reads a conversation that will probably be opened: the pointer rests on it, or it is the next. */
  warm(id: string): void {
    this.#of(id);
  }

  #of(id: string): Thread {
    const owner = session.me?.id ?? null;
    if (owner !== this.#owner) {
      // Another person: what the last one saw is none of theirs.
      this.#kept.clear();
      this.#owner = owner;
    }
    let thread = this.#kept.get(id);
    if (thread) this.#kept.delete(id);
    else thread = new Thread(id);
    this.#kept.set(id, thread);
    for (const old of this.#kept.keys()) {
      if (this.#kept.size <= KEPT) break;
      this.#kept.delete(old);
    }
    if (!thread.loaded) void thread.load();
    return thread;
  }

  /** A conversation that is kept. */
  get(id: string): Thread | undefined {
    return this.#kept.get(id);
  }

  /** Asks who is there: what they did before this was opened nobody tells. */
  async #look(thread: Thread): Promise<void> {
    if (!presence) return;
    try {
      const { data } = await ask<{ data: { user: { id: string; name: string }; state: Present['state']; until: string }[] }>('GET', `/api/v1/conversations/${encodeURIComponent(thread.id)}/presence`);
      thread.present = data.filter(({ user }) => user.id !== session.userId && user.id !== session.me?.id).map(({ user, state, until }) => ({ ...user, state, until: Date.parse(until) }));
    } catch (error) {
      if (error instanceof ApiProblem && (error.status === 404 || error.status === 405)) presence = false;
    }
  }

  #message({ data }: DeskEvent): void {
    const message = data.message as Message | undefined;
    if (message) this.#kept.get(message.conversation_id)?.take(message);
  }
}

export const threads = new Threads();
