import { untrack } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';

import { ApiProblem, ask } from '../api/client';
import { failureWords } from '../api/problem';
import { stream, type DeskEvent } from '../stream/index.svelte';
import { changed, grouped, inverse, type Change } from './changing';
import { parameters, type Conversation, type Filter } from './filter';
import { ListView, type Keeper } from './listview.svelte';
import { session } from './session.svelte';

export type { Change } from './changing';
export type { Conversation, Filter } from './filter';

/** So many lists are kept, so that going back to one takes no request. */
const KEPT_VIEWS = 12;
/** How many single changes are on their way at once, where the daemon takes no bulk. */
const AT_ONCE = 6;

/**
 * Every conversation that this tab has heard of, by id, kept right by the stream, and the lists of them. What a component
 * reads by `get` is reactive for itself: a change of one conversation touches what shows that one.
 */
class Conversations implements Keeper {
  /** As the daemon told it. */
  #told = new Map<string, Conversation>();
  /** As it is shown: with the changes that the daemon has not confirmed yet. */
  #shown = new SvelteMap<string, Conversation>();
  #unconfirmed = new Map<string, Change[]>();
  #heardAt = new Map<string, number>();
  #ofContact = new Map<string, Set<string>>();
  #views = new Map<string, ListView>();
  #current: ListView | null = null;
  stamp = 0;

  constructor() {
    stream.on('*', (event) => this.#hear(event));
    stream.on('reset', () => this.#readAnew());
    // What was read before the line stood may have changed in between, and nobody would tell.
    $effect.root(() => {
      let wasLive = false;
      $effect(() => {
        if (stream.state !== 'live' || wasLive) return;
        wasLive = true;
        untrack(() => this.#readAnew());
      });
    });
  }

  get me(): string | null {
    return session.userId;
  }

  get(id: string): Conversation | undefined {
    return this.#shown.get(id);
  }

  /** Asks the daemon for one, where it is not known; `again`: also where it is. Throws an `ApiProblem` where there is none. */
  async load(id: string, again = false): Promise<Conversation> {
    const known = this.get(id);
    if (known && !again) return known;
    const stamp = this.stamp;
    const found = await ask<Conversation>('GET', `/api/v1/conversations/${encodeURIComponent(id)}`);
    this.received([found], stamp);
    return this.get(id) ?? found;
  }

  /** The list of this filter: one and the same for the same filter, kept right as long as it is known. */
  view(filter: Filter): ListView {
    const key = `${this.me} ${parameters(filter)}`;
    const known = this.#views.get(key);
    const view = known ?? new ListView(filter, this);
    this.#views.delete(key);
    this.#views.set(key, view);
    if (this.#views.size > KEPT_VIEWS) {
      const oldest = this.#views.keys().next().value;
      if (oldest !== undefined) this.#views.delete(oldest);
    }
    return view;
  }

  /** The list that is on the screen: it is read anew at once where the stream begins anew. */
  set current(view: ListView) {
    this.#current = view;
  }

  received(conversations: readonly Conversation[], stamp: number): void {
    for (const conversation of conversations) {
      // What an event told since is newer, or is about to be told by the next event.
      if ((this.#heardAt.get(conversation.id) ?? 0) > stamp) continue;
      this.#put(conversation, false);
    }
  }

  /** Changes a conversation: here at once, and taken back where the daemon refuses. Throws its problem then. */
  async change(id: string, change: Change): Promise<void> {
    this.#assume(id, change);
    const stamp = this.stamp;
    try {
      const answer = await ask<Conversation>('PATCH', `/api/v1/conversations/${encodeURIComponent(id)}`, change);
      this.#settle(id, change, false);
      this.received([answer], stamp);
    } catch (error) {
      this.#settle(id, change, false);
      throw error;
    }
  }

  /** Takes a conversation for the person at this desk. Throws a problem `taken` where a colleague was faster. */
  async take(id: string): Promise<void> {
    const from = this.get(id)?.assignee_id ?? null;
    const change: Change = { assignee_id: this.me };
    this.#assume(id, change);
    const stamp = this.stamp;
    try {
      const answer = await ask<Conversation>('POST', `/api/v1/conversations/${encodeURIComponent(id)}/take`, { from });
      this.#settle(id, change, false);
      this.received([answer], stamp);
    } catch (error) {
      this.#settle(id, change, false);
      throw error;
    }
  }

  /**
   * Changes many, each in its own way. `undo` takes back what was done; `failed` are those that the daemon refused, with
   * its words.
   */
  async changeMany(changes: ReadonlyMap<string, Change>): Promise<{ undo: Map<string, Change>; failed: Map<string, string> }> {
    const now = new Date();
    const undo = new Map<string, Change>();
    const failed = new Map<string, string>();
    for (const [id, change] of changes) {
      const before = this.get(id);
      if (before) undo.set(id, inverse(before, change, now));
      this.#assume(id, change);
    }
    for (const { ids, change } of grouped(changes)) {
      const refused = await this.#bulk(ids, change);
      for (const id of ids) {
        const words = refused.get(id);
        this.#settle(id, changes.get(id) ?? change, words === undefined);
        if (words !== undefined) {
          failed.set(id, words);
          undo.delete(id);
        }
      }
    }
    return { undo, failed };
  }

  async #bulk(ids: string[], change: Change): Promise<Map<string, string>> {
    const refused = new Map<string, string>();
    try {
      const answer = await ask<{ data: { id: string; status: number; detail?: string | null }[] }>('POST', '/api/v1/conversations/bulk', { ids, change });
      for (const { id, status, detail } of answer.data) if (status >= 400) refused.set(id, detail ?? String(status));
    } catch (error) {
      const words = failureWords(error);
      if (!(error instanceof ApiProblem) || (error.status !== 404 && error.status !== 405)) {
        for (const id of ids) refused.set(id, words);
        return refused;
      }
      const left = [...ids];
      const worker = async () => {
        for (let id = left.shift(); id !== undefined; id = left.shift()) {
          try {
            await ask('PATCH', `/api/v1/conversations/${encodeURIComponent(id)}`, change);
          } catch (problem) {
            refused.set(id, failureWords(problem));
          }
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    }
    return refused;
  }

  /** Shows a change before the daemon has confirmed it. */
  #assume(id: string, change: Change): void {
    this.#unconfirmed.set(id, [...(this.#unconfirmed.get(id) ?? []), change]);
    const told = this.#told.get(id);
    if (told) this.#put(told, false);
  }

  /** The daemon has answered. `holds`: it did so, and has not told the conversation itself. */
  #settle(id: string, change: Change, holds: boolean): void {
    const left = (this.#unconfirmed.get(id) ?? []).filter((other) => other !== change);
    if (left.length > 0) this.#unconfirmed.set(id, left);
    else this.#unconfirmed.delete(id);
    const told = this.#told.get(id);
    if (told) this.#put(holds ? changed(told, change) : told, false);
  }

  #put(told: Conversation, isNews: boolean): void {
    const { id, contact } = told;
    this.#told.set(id, told);
    let theirs = this.#ofContact.get(contact.id);
    if (!theirs) this.#ofContact.set(contact.id, (theirs = new Set()));
    theirs.add(id);
    const shown = (this.#unconfirmed.get(id) ?? []).reduce(changed, told);
    this.#shown.set(id, shown);
    for (const view of this.#views.values()) view.hear(shown, isNews);
  }

  #hear({ type, data }: DeskEvent): void {
    const conversation = data.conversation as Conversation | undefined;
    if (conversation && typeof conversation.id === 'string' && conversation.contact) {
      this.#heardAt.set(conversation.id, ++this.stamp);
      const message = data.message as { direction?: string; kind?: string } | undefined;
      this.#put(conversation, type === 'message.created' && message?.direction === 'inbound');
      return;
    }
    if (type === 'contact.updated') {
      const contact = data.contact as { id: string; name?: string | null; avatar_url?: string | null; blocked?: boolean } | undefined;
      for (const id of (contact && this.#ofContact.get(contact.id)) ?? []) {
        const known = this.#told.get(id);
        if (!contact || known?.contact.id !== contact.id) continue;
        this.#heardAt.set(id, ++this.stamp);
        const { name = null, avatar_url = null } = contact;
        this.#put({ ...known, contact: { ...known.contact, name, avatar_url } }, false);
      }
    }
    if (type === 'contact.deleted') {
      const contact = String((data.contact as { id?: string } | undefined)?.id ?? data.contact_id ?? data.id ?? '');
      for (const id of this.#ofContact.get(contact) ?? []) {
        // Those of one who was merged have another contact by now.
        if (this.#told.get(id)?.contact.id === contact) this.#forget(id);
      }
      this.#ofContact.delete(contact);
    }
  }

  #forget(id: string): void {
    this.#told.delete(id);
    this.#shown.delete(id);
    for (const view of this.#views.values()) view.forget(id);
  }

  #readAnew(): void {
    this.stamp += 1;
    for (const [key, view] of this.#views) if (view !== this.#current) this.#views.delete(key);
    if (this.#current && this.#current.state !== 'idle') void this.#current.load();
  }
}

export const conversations = new Conversations();
