import { ApiProblem, ask } from '../api/client';
import { fits, parameters, sortTime, type Conversation, type Filter, type Sort } from './filter';
import { firstDifference, Ranking } from './ranking';

/** How many the first page has, which somebody waits for, and the others. */
const PAGE = 60;
const MORE = 200;
/** Where frames stand still, as in a tab that nobody sees, lists are brought up to date this often, in milliseconds. */
const HIDDEN_MS = 200;

export interface Page {
  data: Conversation[];
  next?: string | null;
}

/** What a list needs of those who keep the conversations. */
export interface Keeper {
  get(id: string): Conversation | undefined;
  /** Counts up with every event; what was read before it is older than what the event told. */
  readonly stamp: number;
  /** Takes in what a request that began at `stamp` brought. */
  received(conversations: readonly Conversation[], stamp: number): void;
  readonly me: string | null;
}

/**
 * A view of the inbox: its conversations in order, read page by page, kept right by the events. What is shown may lag
 * behind what is known: while it is held, nothing moves that somebody looks at or points to.
 */
export class ListView {
  readonly filter: Filter;
  readonly sort: Sort;
  /** The ids in the order in which they are shown. */
  shown = $state.raw<readonly string[]>([]);
  /** How many have arrived, or moved up by something new, that wait behind "3 new". */
  behind = $state(0);
  state = $state<'idle' | 'loading' | 'ready' | 'failed'>('idle');
  problem = $state.raw<ApiProblem | null>(null);
  /** Whether the daemon has more of it. */
  hasMore = $state(false);
  loadingMore = $state(false);
  /** The ids that came by themselves a moment ago, so that they can be seen coming. */
  arrived = new Set<string>();

  #keeper: Keeper;
  #ranking: Ranking;
  #next: string | null = null;
  #held = false;
  #lastVisible = 0;
  #pinned: string | null = null;
  #behind = new Set<string>();
  #scheduled = false;
  #generation = 0;
  #reading = 0;
  /** What was heard of while a page was on its way: the page may be older than that, and know nothing of it. */
  #heardMeanwhile = new Map<string, boolean>();

  constructor(filter: Filter, keeper: Keeper) {
    this.filter = filter;
    this.sort = filter.sort ?? 'activity';
    this.#keeper = keeper;
    this.#ranking = new Ranking(this.sort);
  }

  /** How many conversations are known, whether they are shown already or not. */
  get known(): number {
    return this.#ranking.length;
  }

  /** Reads the beginning, where that has not been done. */
  start(): void {
    if (this.state === 'idle' || this.state === 'failed') void this.load();
  }

  /** Reads it from the beginning. */
  async load(): Promise<void> {
    const generation = ++this.#generation;
    if (this.state !== 'ready') this.state = 'loading';
    const stamp = this.#keeper.stamp;
    this.#reading += 1;
    try {
      const page = await this.#page(null);
      if (generation !== this.#generation) return;
      this.#ranking = new Ranking(this.sort);
      this.#behind.clear();
      this.#take(page, stamp);
      this.state = 'ready';
      this.problem = null;
      this.#hearAgain();
      this.arrived.clear();
      this.#show();
    } catch (error) {
      if (generation !== this.#generation) return;
      this.problem = error instanceof ApiProblem ? error : ApiProblem.offline();
      if (this.state !== 'ready') this.state = 'failed';
    } finally {
      this.#reading -= 1;
    }
  }

  /** Reads the next page. */
  async loadMore(): Promise<void> {
    if (this.loadingMore || this.#next === null) return;
    const generation = this.#generation;
    const stamp = this.#keeper.stamp;
    this.loadingMore = true;
    this.problem = null;
    this.#reading += 1;
    try {
      const page = await this.#page(this.#next);
      if (generation !== this.#generation) return;
      this.#take(page, stamp);
      this.#hearAgain();
      // Behind everything that is shown, so nothing moves.
      const shown = new Set(this.shown);
      const more = page.data.map(({ id }) => id).filter((id) => this.#ranking.has(id) && !shown.has(id));
      if (this.#held) this.shown = [...this.shown, ...more];
      else this.#show();
    } catch (error) {
      if (generation === this.#generation) this.problem = error instanceof ApiProblem ? error : ApiProblem.offline();
    } finally {
      this.loadingMore = false;
      this.#reading -= 1;
    }
  }

  #hearAgain(): void {
    const meanwhile = [...this.#heardMeanwhile];
    this.#heardMeanwhile.clear();
    for (const [id, isNews] of meanwhile) {
      const conversation = this.#keeper.get(id);
      if (conversation) this.hear(conversation, isNews);
    }
  }

  #page(cursor: string | null): Promise<Page> {
    const query = parameters(this.filter);
    query.set('limit', String(cursor ? MORE : PAGE));
    if (cursor) query.set('cursor', cursor);
    return ask<Page>('GET', `/api/v1/conversations?${query}`);
  }

  #take(page: Page, stamp: number): void {
    this.#next = page.next ?? null;
    this.hasMore = this.#next !== null;
    this.#keeper.received(page.data, stamp);
    for (const { id } of page.data) {
      const conversation = this.#keeper.get(id);
      if (!conversation) continue;
      const time = sortTime(conversation, this.sort);
      if (time !== null && fits(conversation, this.filter, this.#keeper.me) !== false) this.#ranking.put(id, time);
    }
  }

  /** A conversation changed. `isNews`: by something that a customer did. */
  hear(conversation: Conversation, isNews: boolean): void {
    const { id } = conversation;
    if (this.#reading > 0) this.#heardMeanwhile.set(id, isNews || (this.#heardMeanwhile.get(id) ?? false));
    if (this.state !== 'ready') return;
    const was = this.#ranking.has(id);
    const fit = fits(conversation, this.filter, this.#keeper.me);
    const time = sortTime(conversation, this.sort);
    let moved = false;
    if (fit === false || time === null) {
      // The one that is open stays where it is until somebody leaves it.
      if (id === this.#pinned && was) return;
      moved = this.#ranking.remove(id);
      this.#behind.delete(id);
    } else if (fit === 'unknown' && !was) return;
    else if (this.#next !== null && this.#ranking.timeOf(id) !== time && this.#isBeyond(id, time)) {
      // It comes with a later page.
      moved = this.#ranking.remove(id);
    } else {
      moved = this.#ranking.put(id, time);
      if (moved && (isNews || !was)) {
        this.arrived.add(id);
        if (this.#held) this.#behind.add(id);
      }
    }
    if (moved) this.#schedule();
  }

  #isBeyond(id: string, time: number): boolean {
    const before = this.#ranking.timeOf(id);
    this.#ranking.remove(id);
    const is = this.#ranking.isBehindAll(id, time);
    if (before !== undefined) this.#ranking.put(id, before);
    return is;
  }

  /** A conversation is no more. */
  forget(id: string): void {
    if (!this.#ranking.remove(id)) return;
    this.#behind.delete(id);
    this.shown = this.shown.filter((other) => other !== id);
    this.#schedule();
  }

  /** The conversation that is open: it stays although it no longer fits. */
  pin(id: string | null): void {
    const left = this.#pinned;
    this.#pinned = id;
    if (left && left !== id) this.review([left]);
  }

  /** Looks again whether these still belong here. */
  review(ids: readonly string[]): void {
    for (const id of ids) {
      const conversation = this.#keeper.get(id);
      if (conversation && this.#ranking.has(id)) this.hear(conversation, false);
    }
  }

  /** Holds the list still, as far down as `lastVisible`, or lets it go on. */
  hold(held: boolean, lastVisible = 0): void {
    this.#lastVisible = lastVisible;
    if (held === this.#held) return;
    this.#held = held;
    if (!held) this.#show();
  }

  /** Whether one of those that wait behind "3 new" is so. */
  isAnyBehind(is: (id: string) => boolean): boolean {
    return this.behind > 0 && [...this.#behind].some(is);
  }

  /** Shows what has arrived. */
  show(): void {
    this.#show();
  }

  /** Shows that these are no longer here although the list is held: they left by the hand of the one who looks at it. */
  release(ids: readonly string[]): void {
    const gone = new Set(ids.filter((id) => !this.#ranking.has(id)));
    if (gone.size > 0) this.shown = this.shown.filter((id) => !gone.has(id));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const publish = () => {
      if (!this.#scheduled) return;
      this.#scheduled = false;
      this.#publish();
    };
    if (typeof requestAnimationFrame === 'function' && !document.hidden) requestAnimationFrame(publish);
    else setTimeout(publish, HIDDEN_MS);
  }

  #publish(): void {
    if (!this.#held || firstDifference(this.shown, this.#ranking.ids, 0, this.#lastVisible + 1) > this.#lastVisible) return this.#show();
    const end = this.#lastVisible + 1;
    // Nothing that can be seen differs but what is missing at the end of a short list.
    if (this.shown.length <= end && firstDifference(this.shown, this.#ranking.ids) === this.shown.length) return this.#show();
    this.behind = this.#behind.size;
  }

  #show(): void {
    this.#scheduled = false;
    this.#behind.clear();
    this.behind = 0;
    this.shown = this.#ranking.ids;
  }
}
