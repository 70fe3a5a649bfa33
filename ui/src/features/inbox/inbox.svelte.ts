import { SvelteSet } from 'svelte/reactivity';

import { ask } from '../../lib/api/client';
import { language, t, type Key } from '../../lib/i18n/index.svelte';
import { router } from '../../lib/router.svelte';
import { channels } from '../../lib/state/channels.svelte';
import { conversations, type Change, type Filter } from '../../lib/state/conversations.svelte';
import { narrowed, VIEWS, type Sort, type Status, type ViewName } from '../../lib/state/filter';
import { session } from '../../lib/state/session.svelte';
import { toasts } from '../../lib/state/toasts.svelte';
import { until } from '../../lib/time';
import { people } from '../../lib/state/people.svelte';
import { stream } from '../../lib/stream/index.svelte';
import { nameOf } from './words';

/** A filter with a name, as `GET views` tells it. */
export interface SavedView {
  id: string;
  name: string;
  filter: Omit<Filter, 'status'> & { status?: string | Status[] };
  shared: boolean;
  owner_id: string | null;
}

/** What the filter button adds to a view. */
export type Extra = Pick<Filter, 'channel' | 'label' | 'assignee' | 'unread'>;

const isView = (name: string): name is ViewName => Object.hasOwn(VIEWS, name);

function savedFilter(saved: SavedView): Filter {
  const { status, ...rest } = saved.filter;
  const list = typeof status === 'string' ? (status.split(',') as Status[]) : status;
  const filter: Filter = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== undefined));
  return list?.length ? { ...filter, status: list } : filter;
}

/** The list beside the conversation: which view it shows, what is selected in it, and what can be done with that. */
class Inbox {
  /** The view of the address: `unanswered`, `channel:website`, `label:VIP`, `vie_…`. */
  name = $state('unanswered');
  /** The conversation that is open. */
  open = $state<string | null>(null);
  extra = $state.raw<Extra>({});
  sort = $state<Sort>('waiting');
  saved = $state.raw<SavedView[]>([]);
  savedLoaded = $state(false);
  selected = new SvelteSet<string>();
  /** The row on which the keys act. */
  cursor = $state<string | null>(null);
  search = $state('');
  /** What is being chosen for which conversations. */
  picking = $state.raw<{ what: 'assign' | 'label' | 'snooze'; ids: readonly string[] } | null>(null);
  #anchor: string | null = null;

  constructor() {
    stream.on('reset', () => void this.loadViews());
    stream.on('desk.changed', ({ data }) => {
      if (data.what === 'views') void this.loadViews();
    });
  }

  async loadViews(): Promise<void> {
    if (session.status !== 'in') return;
    const found = await ask<{ data: SavedView[] }>('GET', '/api/v1/views?limit=200').catch(() => null);
    if (found) this.saved = found.data;
    this.savedLoaded = true;
  }

  /** The filter of a view by its name; null where there is no such view. */
  filterOf(name: string): Filter | null {
    if (isView(name)) return name === 'unanswered' ? { ...VIEWS.unanswered, sort: this.sort } : VIEWS[name];
    if (name.startsWith('channel:')) return { status: ['open'], channel: name.slice(8) };
    if (name.startsWith('label:')) return { status: ['open'], label: name.slice(6) };
    const saved = this.saved.find(({ id }) => id === name);
    return saved ? savedFilter(saved) : null;
  }

  titleOf(name: string): string {
    if (isView(name)) return t(`view.${name}` as Key);
    if (name.startsWith('channel:')) return channels.get(name.slice(8))?.name ?? name.slice(8);
    if (name.startsWith('label:')) return name.slice(6);
    return this.saved.find(({ id }) => id === name)?.name ?? (this.savedLoaded ? t('view.gone') : '');
  }

  get filter(): Filter | null {
    const filter = this.filterOf(this.name);
    return filter && narrowed(filter, this.extra);
  }

  get hasExtra(): boolean {
    return Object.keys(this.extra).length > 0;
  }

  /** Shows another view: what was selected or narrowed in the one before is left behind. */
  show(name: string, open: string | null): void {
    if (name !== this.name) {
      this.name = name;
      this.extra = {};
      this.clear();
      this.cursor = open;
    }
    this.open = open;
  }

  address(id: string | null, name = this.name): string {
    const view = `/desk/inbox/${encodeURIComponent(name)}`;
    return id ? `${view}/${encodeURIComponent(id)}` : view;
  }

  openOne(id: string): void {
    this.cursor = id;
    router.go(this.address(id));
  }

  clear(): void {
    this.selected.clear();
    this.#anchor = null;
  }

  /** Selects or unselects one, or with `range` everything from the last one to this one. */
  toggle(id: string, shown: readonly string[], range = false): void {
    const from = range && this.#anchor ? shown.indexOf(this.#anchor) : -1;
    const to = shown.indexOf(id);
    if (from >= 0 && to >= 0) {
      for (const one of shown.slice(Math.min(from, to), Math.max(from, to) + 1)) this.selected.add(one);
    } else {
      if (this.selected.has(id)) this.selected.delete(id);
      else this.selected.add(id);
      this.#anchor = id;
    }
  }

  /** On what a key or a button of the list acts: what is selected, else the row with the cursor. */
  get targets(): string[] {
    if (this.selected.size > 0) return [...this.selected];
    return this.cursor ? [this.cursor] : [];
  }

  /** Changes these, tells what was done, and offers the way back. */
  async change(changes: ReadonlyMap<string, Change>, done: Key, values: Record<string, string> = {}): Promise<void> {
    if (changes.size === 0) return;
    const answer = conversations.changeMany(changes);
    const list = this.list;
    list?.release([...changes.keys()]);
    this.clear();
    const { undo, failed } = await answer;
    const count = changes.size - failed.size;
    if (count > 0) {
      toasts.say(t(done, { count, ...values }), { action: { label: t('common.undo'), do: () => void this.#undo(undo) } });
    }
    this.#tell(failed);
  }

  async #undo(undo: Map<string, Change>): Promise<void> {
    const { failed } = await conversations.changeMany(undo);
    if (failed.size < undo.size) toasts.say(t('done.undone'));
    this.#tell(failed);
  }

  #tell(failed: Map<string, string>): void {
    const why = failed.values().next().value;
    if (why !== undefined) toasts.say(t('done.failed', { count: failed.size, why }), { tone: 'bad', forMs: 8_000 });
  }

  get list() {
    return this.filter ? conversations.view(this.filter) : null;
  }

  #all(ids: readonly string[], change: Change): Map<string, Change> {
    return new Map(ids.map((id) => [id, change]));
  }

  resolve(ids: readonly string[]): Promise<void> {
    // What is resolved already is opened again.
    const isDone = ids.length > 0 && ids.every((id) => conversations.get(id)?.status === 'resolved');
    return isDone ? this.change(this.#all(ids, { status: 'open' }), 'done.reopened') : this.change(this.#all(ids, { status: 'resolved' }), 'done.resolved');
  }

  pending(ids: readonly string[]): Promise<void> {
    return this.change(this.#all(ids, { status: 'pending' }), 'done.pending');
  }

  snooze(ids: readonly string[], time: Date): Promise<void> {
    return this.change(this.#all(ids, { snoozed_until: time.toISOString() }), 'done.snoozed', { time: until(time, new Date(), language.code) });
  }

  assign(ids: readonly string[], to: { user: string | null } | { team: string }): Promise<void> {
    if ('team' in to) return this.change(this.#all(ids, { team_id: to.team }), 'done.assigned', { name: people.team(to.team)?.name ?? '' });
    if (to.user === null) return this.change(this.#all(ids, { assignee_id: null }), 'done.unassigned');
    return this.change(this.#all(ids, { assignee_id: to.user }), 'done.assigned', { name: people.name(to.user) ?? t('assign.me') });
  }

  /** Puts a label on all of these, or takes it off. */
  label(ids: readonly string[], name: string, on: boolean): Promise<void> {
    const changes = new Map<string, Change>();
    for (const id of ids) {
      const has = conversations.get(id)?.labels ?? [];
      if (has.includes(name) !== on) changes.set(id, { labels: on ? [...has, name] : has.filter((other) => other !== name) });
    }
    return this.change(changes, 'done.labelled');
  }

  spam(ids: readonly string[], is: boolean): Promise<void> {
    return this.change(this.#all(ids, { spam: is }), is ? 'done.spam' : 'done.notSpam');
  }

  /** Takes one for the person at this desk. */
  async take(id: string): Promise<void> {
    try {
      await conversations.take(id);
      toasts.say(t('done.taken'));
    } catch (error) {
      const other = (error as { body?: { assignee_id?: string } }).body?.assignee_id;
      const name = people.name(other);
      if (name) toasts.say(t('done.takenByOther', { name }), { tone: 'bad' });
      else toasts.failed(error);
    }
  }

  who(id: string): string {
    const conversation = conversations.get(id);
    return conversation ? nameOf(conversation) : t('list.unnamed');
  }
}

export const inbox = new Inbox();
