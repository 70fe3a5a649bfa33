import type { Component } from 'svelte';

import type { Key } from '../../lib/i18n/index.svelte';

export type Right = 'read' | 'write' | 'admin';

export interface SettingsPage {
  /** As in `/desk/settings/{id}`. */
  id: string;
  title: Key;
  group: 'yours' | 'shop' | 'access';
  /** Who may see it. */
  right: Right;
  load: () => Promise<{ default: Component<{ item: string | null }> }>;
}

/** All pages in the order of the list. */
export const PAGES: readonly SettingsPage[] = [
  { id: 'you', title: 'settings.you', group: 'yours', right: 'read', load: () => import('./you/You.svelte') },
  { id: 'channels', title: 'settings.channels', group: 'shop', right: 'admin', load: () => import('./channels/Channels.svelte') },
];

type May = (right: Right) => boolean;

/** What this person sees of them. */
export const pagesFor = (may: May): SettingsPage[] => PAGES.filter((page) => may(page.right));

/** The page of this name, where there is one and this person may see it. */
export const pageFor = (id: string, may: May): SettingsPage | undefined => PAGES.find((page) => page.id === id && may(page.right));
