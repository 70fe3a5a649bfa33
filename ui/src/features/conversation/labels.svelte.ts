import { ask } from '../../lib/api/client';
import { stream } from '../../lib/stream/index.svelte';

export interface Label {
  name: string;
  color: string;
  description?: string | null;
}

/** The labels of the shop. */
class Labels {
  all = $state.raw<readonly Label[]>([]);
  #asked = false;

  constructor() {
    stream.on('desk.changed', ({ data }) => {
      if (data.what === 'labels' && this.#asked) void this.load();
    });
  }

  /** Reads them once; what comes later the stream tells. */
  async need(): Promise<void> {
    if (!this.#asked) await this.load();
  }

  async load(): Promise<void> {
    this.#asked = true;
    const found = await ask<{ data: Label[] }>('GET', '/api/v1/labels?limit=200').catch(() => null);
    if (found) this.all = found.data;
  }
}

export const labels = new Labels();

/** The colours of labels: soft grounds with words of more than 4.5 : 1 on them, in both themes. */
const COLOURS = new Map<string, string>([
  ['gray', '#8b857b'], ['red', '#d6453d'], ['orange', '#d9730d'], ['yellow', '#c29a06'], ['green', '#3a9a4e'],
  ['teal', '#1a9a8a'], ['blue', '#2f7fe0'], ['purple', '#8459d6'], ['pink', '#d0468f'],
]);

export const labelColour = (name: string): string => COLOURS.get(labels.all.find((label) => label.name === name)?.color ?? 'gray') ?? '#8b857b';
