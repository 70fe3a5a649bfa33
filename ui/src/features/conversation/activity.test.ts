import { afterEach, expect, it } from 'vitest';

import type { Message } from '../../lib/api/client';
import { language } from '../../lib/i18n/index.svelte';
import { activityWords } from './activity';

const ana = { type: 'staff', id: 'usr_ana', name: 'Ana' } as const;
const known = {
  person: (id: string) => (id === 'usr_eva' ? 'Eva' : undefined),
  team: (id: string) => (id === 'tea_1' ? 'Sklad' : undefined),
  time: () => 'ne 9:00',
};
const words = (activity: unknown, author: Message['author'] = ana, text = 'What the daemon said.') =>
  activityWords({ text, author, metadata: { activity } as unknown as Message['metadata'] }, known);

afterEach(() => language.speak('en'));

it('says what was done, by what changed', async () => {
  await language.speak('sk');
  expect(words({ what: 'status', from: 'open', to: 'resolved' })).toBe('Ana: konverzácia vyriešená.');
  expect(words({ what: 'status', from: 'resolved', to: 'open' })).toBe('Ana: konverzácia znova otvorená.');
  expect(words({ what: 'status', from: 'open', to: 'snoozed', until: '2026-11-29T08:00:00Z' })).toBe('Ana: konverzácia odložená do ne 9:00.');
  expect(words({ what: 'status', from: 'snoozed', to: 'open' }, { type: 'system' })).toBe('Odloženie sa skončilo, konverzácia je znova otvorená.');
  expect(words({ what: 'assignee', to: 'usr_ana' })).toBe('Ana preberá konverzáciu.');
  expect(words({ what: 'assignee', to: 'usr_eva' })).toBe('Ana: konverzácia priradená, venuje sa jej Eva.');
  expect(words({ what: 'assignee', from: 'usr_eva' })).toBe('Ana: priradenie zrušené.');
  expect(words({ what: 'team', to: 'tea_1' })).toBe('Ana: konverzácia priradená tímu Sklad.');
  expect(words({ what: 'labels', from: ['vip'], to: ['dar', 'vip'] })).toBe('Ana: pridaný štítok dar.');
  expect(words({ what: 'labels', from: ['vip'], to: ['dar'] })).toBe('Ana: pridaný štítok dar, odobraný vip.');
  expect(words({ what: 'priority', to: 'high' })).toBe('Ana: priorita – vysoká.');
  expect(words({ what: 'spam', from: false, to: true })).toBe('Ana: označené ako spam.');
});

it('says what the daemon said of what it does not know', () => {
  expect(words({})).toBe('What the daemon said.');
  expect(words(undefined)).toBe('What the daemon said.');
  expect(words(null)).toBe('What the daemon said.');
  expect(words({ what: 'mood', to: 'merry' })).toBe('What the daemon said.');
  expect(words({ what: 'status', to: 'asleep' })).toBe('What the daemon said.');
  expect(words({ what: 'priority', to: 'toString' })).toBe('What the daemon said.');
  expect(words({ what: 'labels', from: 'x', to: null })).toBe('What the daemon said.');
});
