import { onDestroy } from 'svelte';

import { api, type Schemas } from '../../../lib/api/client';
import { stream } from '../../../lib/stream/index.svelte';

export type ChannelHealth = Schemas['ChannelHealth'];

/** How a channel does, looked at every few seconds while somebody looks at the page. */
export class Health {
  now = $state.raw<ChannelHealth | null>(null);
  /** Whether the last look failed: what is shown may be old. */
  stale = $state(false);
  #id: () => string | null;

  constructor(id: () => string | null, everyMs = 5_000) {
    this.#id = id;
    const timer = setInterval(() => {
      if (!document.hidden) void this.look();
    }, everyMs);
    const off = stream.on('channel.health', () => void this.look());
    onDestroy(() => {
      clearInterval(timer);
      off();
    });
  }

  async look(): Promise<void> {
    const id = this.#id();
    if (!id) return;
    try {
      const { data } = await api.GET('/api/v1/channels/{id}/health', { params: { path: { id } } });
      if (id === this.#id()) this.now = data ?? null;
      this.stale = false;
    } catch {
      this.stale = true;
    }
  }

  finding(what: string): Schemas['Finding'] | undefined {
    return this.now?.findings.find((finding) => finding.what === what);
  }
}
