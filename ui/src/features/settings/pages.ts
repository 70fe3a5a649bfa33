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
  { id: 'devices', title: 'settings.devices', group: 'yours', right: 'write', load: () => import('./devices/Devices.svelte') },
  { id: 'views', title: 'settings.views', group: 'yours', right: 'read', load: () => import('./lists/Views.svelte') },
  { id: 'channels', title: 'settings.channels', group: 'shop', right: 'admin', load: () => import('./channels/Channels.svelte') },
  { id: 'people', title: 'settings.people', group: 'shop', right: 'admin', load: () => import('./people/People.svelte') },
  { id: 'teams', title: 'settings.teams', group: 'shop', right: 'admin', load: () => import('./people/Teams.svelte') },
  { id: 'replies', title: 'settings.replies', group: 'shop', right: 'write', load: () => import('./lists/Replies.svelte') },
  { id: 'labels', title: 'settings.labels', group: 'shop', right: 'admin', load: () => import('./lists/Labels.svelte') },
  { id: 'shop', title: 'settings.shop', group: 'shop', right: 'admin', load: () => import('./lists/Shop.svelte') },
  { id: 'hours', title: 'settings.hours', group: 'shop', right: 'admin', load: () => import('./hours/Hours.svelte') },
  { id: 'hooks', title: 'settings.hooks', group: 'access', right: 'admin', load: () => import('./hooks/Hooks.svelte') },
  { id: 'tokens', title: 'settings.tokens', group: 'access', right: 'admin', load: () => import('./lists/Tokens.svelte') },
  { id: 'audit', title: 'settings.audit', group: 'access', right: 'admin', load: () => import('./lists/Audit.svelte') },
  { id: 'data', title: 'settings.data', group: 'access', right: 'admin', load: () => import('./lists/Data.svelte') },
];

type May = (right: Right) => boolean;

/** What this person sees of them. */
export const pagesFor = (may: May): SettingsPage[] => PAGES.filter((page) => may(page.right));

/** The page of this name, where there is one and this person may see it. */
export const pageFor = (id: string, may: May): SettingsPage | undefined => PAGES.find((page) => page.id === id && may(page.right));
