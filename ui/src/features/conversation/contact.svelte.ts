import { SvelteMap } from 'svelte/reactivity';

import { api, ApiProblem, ask, type Contact } from '../../lib/api/client';
import { conversations, type Conversation } from '../../lib/state/conversations.svelte';
import { stream } from '../../lib/stream/index.svelte';

export type KnownContact = Contact & { blocked?: boolean };
export type ContactChange = { name?: string | null; email?: string | null; phone?: string | null; remark?: string | null };

/** People whose pane was open, by id. */
class Contacts {
  #known = new SvelteMap<string, KnownContact>();
  #asked = new Set<string>();

  constructor() {
    stream.on('contact.updated', ({ data }) => {
      const contact = data.contact as KnownContact | undefined;
      // Who they are in each channel is told to each reader by what they may see: it is read anew.
      if (contact?.id && this.#asked.has(contact.id)) void this.load(contact.id, true);
    });
    stream.on('reset', () => {
      this.#asked.clear();
      for (const id of this.#known.keys()) void this.load(id, true);
    });
  }

  get(id: string): KnownContact | undefined {
    return this.#known.get(id);
  }

  async load(id: string, again = false): Promise<void> {
    if (this.#asked.has(id) && !again) return;
    this.#asked.add(id);
    try {
      const { data } = await api.GET('/api/v1/contacts/{id}', { params: { path: { id } } });
      if (data) this.#known.set(id, data);
    } catch (error) {
      this.#asked.delete(id);
      if (!(error instanceof ApiProblem)) throw error;
    }
  }

  /** Changes a person: here at once, and taken back where the daemon refuses. Throws its problem then. */
  async change(id: string, change: ContactChange): Promise<void> {
    const before = this.#known.get(id);
    if (before) this.#known.set(id, { ...before, ...change });
    try {
      const { data } = await api.PATCH('/api/v1/contacts/{id}', { params: { path: { id } }, body: change });
      if (data) this.#known.set(id, data);
    } catch (error) {
      if (before) this.#known.set(id, before);
      throw error;
    }
  }
}

export const contacts = new Contacts();

/** The other conversations of a person, newest first, as far as the caller may see them. */
export async function othersOf(contact: { id: string }, but: string): Promise<Conversation[]> {
  const stamp = conversations.stamp;
  const { data } = await api.GET('/api/v1/conversations', { params: { query: { limit: 200, contact: contact.id } } });
  const theirs = data?.data ?? [];
  conversations.received(theirs, stamp);
  return theirs.filter((one) => one.id !== but);
}

/** A line of who heard the bell of a conversation. */
export interface Heard {
  at: string;
  what: 'rang' | 'shown' | 'taken' | 'nobody';
  names: string[];
}

interface Ring {
  state: string;
  started_at: string;
  taken_at: string | null;
  taken_by: string | null;
  attempts: { at: string; user_id: string | null; device: string | null; result: string }[];
}

let bell = true;

/** Who was rung, shown and who took it, of the last ring; null where the daemon keeps none. */
export async function heardOf(conversation: string, nameOf: (id: string | null) => string): Promise<Heard[] | null> {
  if (!bell) return null;
  try {
    const found = await ask<{ data: Ring[] }>('GET', `/api/v1/bell?conversation=${encodeURIComponent(conversation)}&limit=1`);
    const ring = found.data[0];
    if (!ring) return [];
    return linesOf(ring, nameOf);
  } catch (error) {
    if (error instanceof ApiProblem && (error.status === 404 || error.status === 400)) bell = false;
    return null;
  }
}

/** A ring in at most three lines. */
export function linesOf(ring: Ring, nameOf: (id: string | null) => string): Heard[] {
  const names = (attempts: Ring['attempts']) => [...new Set(attempts.map((one) => nameOf(one.user_id)))];
  const lines: Heard[] = [];
  const rang = ring.attempts.filter((one) => one.result === 'sent' || one.result === 'shown');
  const shown = ring.attempts.filter((one) => one.result === 'shown');
  lines.push(rang.length ? { at: rang[0]?.at ?? ring.started_at, what: 'rang', names: names(rang) } : { at: ring.started_at, what: 'nobody', names: [] });
  if (shown.length) lines.push({ at: shown[0]?.at ?? ring.started_at, what: 'shown', names: names(shown) });
  if (ring.taken_at) lines.push({ at: ring.taken_at, what: 'taken', names: [nameOf(ring.taken_by)] });
  return lines;
}
