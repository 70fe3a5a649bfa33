import { ask } from '../../lib/api/client';
import { language } from '../../lib/i18n/index.svelte';
import { stream } from '../../lib/stream/index.svelte';

/** A reply that is used again and again. */
export interface SavedReply {
  id: string;
  shortcut: string;
  title: string;
  text: string;
  channels: string[] | null;
}

/** The shop's saved replies: read when they are first wanted. */
class Replies {
  all = $state.raw<readonly SavedReply[]>([]);
  loaded = $state(false);
  #asked = false;

  constructor() {
    stream.on('desk.changed', ({ data }) => {
      if (data.what === 'replies' && this.#asked) void this.#load();
    });
  }

  need(): void {
    if (!this.#asked) void this.#load();
  }

  async #load(): Promise<void> {
    this.#asked = true;
    try {
      const found: SavedReply[] = [];
      let cursor: string | null = null;
      do {
        const page: { data: SavedReply[]; next: string | null } = await ask('GET', `/api/v1/replies?limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
        found.push(...page.data);
        cursor = page.next;
      } while (cursor);
      this.all = found;
    } catch {
      // Without them one writes oneself; they are asked for again next time.
      this.#asked = false;
    }
    this.loaded = true;
  }
}

export const replies = new Replies();

const folded = (text: string) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();

/** Those that a search means, best first: by shortcut, by title, then by text. */
export function found(all: readonly SavedReply[], search: string, channel: string): SavedReply[] {
  const wanted = folded(search.trim());
  const rank = (reply: SavedReply): number => {
    if (!wanted) return 1;
    if (folded(reply.shortcut) === wanted) return 5;
    if (folded(reply.shortcut).startsWith(wanted)) return 4;
    if (folded(reply.title).startsWith(wanted)) return 3;
    if (folded(reply.title).includes(wanted) || folded(reply.shortcut).includes(wanted)) return 2;
    return folded(reply.text).includes(wanted) ? 1 : 0;
  };
  return all
    .filter((reply) => reply.channels === null || reply.channels.includes(channel))
    .map((reply) => ({ reply, rank: rank(reply) }))
    .filter((one) => one.rank > 0)
    .sort((a, b) => b.rank - a.rank || a.reply.shortcut.localeCompare(b.reply.shortcut, language.code))
    .map((one) => one.reply)
    .slice(0, 50);
}
