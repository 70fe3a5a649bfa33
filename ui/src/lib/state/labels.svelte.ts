import { ask } from '../api/client';
import { stream } from '../stream/index.svelte';
import { session } from './session.svelte';

export interface Label {
  name: string;
  color: string;
  description?: string | null;
}

/** The labels of the shop with their colours. */
class Labels {
  all = $state.raw<Label[]>([]);

  constructor() {
    stream.on('reset', () => void this.load());
    stream.on('desk.changed', ({ data }) => {
      if (data.what === 'labels') void this.load();
    });
  }

  async load(): Promise<void> {
    if (session.status !== 'in') return;
    const found = await ask<{ data: Label[] }>('GET', '/api/v1/labels?limit=200').catch(() => null);
    if (found) this.all = found.data;
  }

  get(name: string): Label | undefined {
    return this.all.find((label) => label.name === name);
  }
}

export const labels = new Labels();

/** The colours that labels can have, each told apart from its neighbours on either ground. */
export const LABEL_COLOURS: ReadonlyMap<string, string> = new Map([
  ['gray', '#8b857a'], ['red', '#d6453d'], ['orange', '#e07b23'], ['yellow', '#c99a00'], ['green', '#3f9b4f'],
  ['teal', '#1a9c8c'], ['blue', '#3f7ad6'], ['purple', '#8a5bd0'], ['pink', '#d4558f'],
]);

export const labelColour = (name: string): string => LABEL_COLOURS.get(labels.get(name)?.color ?? 'gray') ?? '#8b857a';
