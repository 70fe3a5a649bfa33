import { ApiProblem, ask, type Message } from '../../lib/api/client';
import { conversations, type Conversation } from '../../lib/state/conversations.svelte';
import { stream, type DeskEvent } from '../../lib/stream/index.svelte';

export interface FeedFilter {
  channel: string;
  direction: '' | 'inbound' | 'outbound';
}

const PAGE = 50;
/** So many messages are kept on the screen; what is older is read again when somebody comes to it. */
const MOST = 2_000;

/** The messages of every channel as one list, newest first, kept right by the stream. */
export class Feed {
  readonly filter: FeedFilter;
  shown = $state.raw<readonly Message[]>([]);
  behind = $state(0);
  state = $state<'loading' | 'ready' | 'failed'>('loading');
  problem = $state.raw<ApiProblem | null>(null);
  hasMore = $state(false);
  loadingMore = $state(false);
  #next: string | null = null;
  #held = false;
  #waiting: Message[] = [];
  #generation = 0;
  /** What came while the first page was on its way. */
  #meanwhile: Message[] = [];

  constructor(filter: FeedFilter) {
    this.filter = filter;
  }

  /** Begins; what it gives ends it. */
  start(): () => void {
    void this.load();
    const off = [
      stream.on('message.created', (event) => this.#created(event)),
      stream.on('message.updated', (event) => this.#updated(event)),
      stream.on('contact.deleted', () => void this.load()),
      stream.on('reset', () => void this.load()),
    ];
    return () => off.forEach((one) => one());
  }

  async load(): Promise<void> {
    const generation = ++this.#generation;
    this.#meanwhile = [];
    try {
      const page = await this.#page(null);
      if (generation !== this.#generation) return;
      const known = new Set(page.map(({ id }) => id));
      this.#waiting = [];
      this.behind = 0;
      this.shown = [...this.#meanwhile.filter(({ id }) => !known.has(id)), ...page];
      this.state = 'ready';
      this.problem = null;
    } catch (error) {
      if (generation !== this.#generation) return;
      this.problem = error instanceof ApiProblem ? error : ApiProblem.offline();
      if (this.state !== 'ready') this.state = 'failed';
    }
  }

  async loadMore(): Promise<void> {
    if (this.loadingMore || this.#next === null) return;
    const generation = this.#generation;
    this.loadingMore = true;
    this.problem = null;
    try {
      const page = await this.#page(this.#next);
      if (generation !== this.#generation) return;
      const known = new Set(this.shown.map(({ id }) => id));
      this.shown = [...this.shown, ...page.filter(({ id }) => !known.has(id))];
    } catch (error) {
      if (generation === this.#generation) this.problem = error instanceof ApiProblem ? error : ApiProblem.offline();
    } finally {
      this.loadingMore = false;
    }
  }

  async #page(cursor: string | null): Promise<Message[]> {
    const { channel, direction } = this.filter;
    const query = new URLSearchParams({ limit: String(PAGE), ...(channel && { channel }), ...(direction && { direction }), ...(cursor && { cursor }) });
    const stamp = conversations.stamp;
    const answer = await ask<{ data: (Message & { conversation: Conversation })[]; next?: string | null }>('GET', `/api/v1/feed?${query}`);
    conversations.received(answer.data.map(({ conversation }) => conversation), stamp);
    this.#next = answer.next ?? null;
    this.hasMore = this.#next !== null;
    return answer.data;
  }

  /** While it is held, what comes waits behind "3 newer messages". */
  hold(held: boolean): void {
    if (held === this.#held) return;
    this.#held = held;
    if (!held) this.show();
  }

  show(): void {
    if (this.#waiting.length === 0) return;
    const all = [...this.#waiting.reverse(), ...this.shown];
    this.#waiting = [];
    this.behind = 0;
    // Cut at the end only while somebody reads at the beginning; what is cut is behind a cursor that no longer fits.
    this.shown = all;
    if (all.length > MOST && !this.#held) void this.load();
  }

  #created({ data }: DeskEvent): void {
    const message = data.message as Message | undefined;
    if (!message || message.kind !== 'message') return;
    const { channel, direction } = this.filter;
    if ((channel && message.channel_id !== channel) || (direction && message.direction !== direction)) return;
    this.#meanwhile.unshift(message);
    if (this.#meanwhile.length > PAGE) this.#meanwhile.pop();
    if (this.state !== 'ready') return;
    // A message that was sent earlier and fetched only now stands where it arrived: at the beginning, as in the daemon's feed.
    this.#waiting.push(message);
    this.behind = this.#waiting.length;
    if (!this.#held) this.show();
  }

  #updated({ data }: DeskEvent): void {
    const message = data.message as Message | undefined;
    if (!message) return;
    const at = this.shown.findIndex(({ id }) => id === message.id);
    if (at >= 0) this.shown = this.shown.with(at, message);
    this.#waiting = this.#waiting.map((one) => (one.id === message.id ? message : one));
  }
}
