import { ApiProblem, ask } from '../../lib/api/client';
import { session } from '../../lib/state/session.svelte';
import { stream } from '../../lib/stream/index.svelte';

/** How many conversations each view has, in the scope of who is signed in. */
export interface ViewCounts {
  unanswered: number;
  mine: number;
  unassigned: number;
  open: number;
  pending: number;
  snoozed: number;
  mentions: number;
  spam: number;
  channels: Record<string, number>;
  labels: Record<string, number>;
  saved: Record<string, number>;
}

/** Asked anew at most this often while somebody looks, and while nobody does, in milliseconds. */
const SEEN_MS = 1_000;
const HIDDEN_MS = 5_000;
/** What comes within this time is one change. */
const SETTLE_MS = 150;

const COUNTED = /^(message|conversation)\.|^contact\.deleted$|^reset$/;

/** The numbers beside the views. Without an answer there are none: a wrong number is worse. */
class Counts {
  now = $state.raw<ViewCounts | null>(null);
  #askedAt = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** An older daemon has no such route. */
  #unknown = false;

  constructor() {
    stream.on('*', ({ type, data }) => {
      if (COUNTED.test(type) || (type === 'desk.changed' && (data.what === 'views' || data.what === 'labels'))) this.refresh();
    });
  }

  /** Soon asks anew. */
  refresh(): void {
    if (this.#timer !== null || this.#unknown) return;
    const apart = document.hidden ? HIDDEN_MS : SEEN_MS;
    const wait = Math.max(SETTLE_MS, this.#askedAt + apart - Date.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.load();
    }, wait);
  }

  async load(): Promise<void> {
    if (session.status !== 'in') return;
    this.#askedAt = Date.now();
    try {
      this.now = await ask<ViewCounts>('GET', '/api/v1/views/counts');
    } catch (error) {
      this.#unknown = error instanceof ApiProblem && error.status === 404;
    }
  }
}

export const counts = new Counts();
