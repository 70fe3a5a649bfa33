import { api, type Schemas } from '../../../lib/api/client';
import { Deed } from '../../../lib/deed.svelte';

export type Connector = Schemas['Connector'];

/** What each connector wants to be told; the same as long as the daemon runs. */
class Connectors {
  all = $state.raw<Connector[]>([]);
  reading = new Deed();

  async load(): Promise<void> {
    if (this.all.length) return;
    const { data } = (await this.reading.run(() => api.GET('/api/v1/connectors'))) ?? {};
    if (data) this.all = data.data;
  }

  get(id: string): Connector | undefined {
    return this.all.find((connector) => connector.id === id);
  }
}

export const connectors = new Connectors();
