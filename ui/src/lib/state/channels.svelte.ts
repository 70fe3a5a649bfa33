import { api, type Channel } from '../api/client';
import { session } from './session.svelte';
import { stream } from '../stream/index.svelte';

/** The channels that this person may see, by slug. */
class Channels {
  all = $state<Channel[]>([]);
  loaded = $state(false);

  constructor() {
    // Where it fails now, the next event or `reset` reads it.
    const again = () => void this.load().catch(() => {});
    stream.on('channel.health', again);
    stream.on('reset', again);
    stream.on('desk.changed', ({ data }) => {
      if (data.what === 'channels') again();
    });
  }

  async load(): Promise<void> {
    if (session.status !== 'in') return;
    const found: Channel[] = [];
    let cursor: string | undefined;
    do {
      const { data } = await api.GET('/api/v1/channels', { params: { query: { limit: 200, ...(cursor && { cursor }) } } });
      found.push(...(data?.data ?? []));
      cursor = data?.next ?? undefined;
    } while (cursor);
    this.all = found;
    this.loaded = true;
  }

  get(id: string): Channel | undefined {
    return this.all.find((channel) => channel.id === id);
  }
}

export const channels = new Channels();
