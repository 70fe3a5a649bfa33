import { expect, it } from 'vitest';

import { changed, grouped, inverse, type Change } from './changing';
import type { Conversation } from './filter';
import { aConversation, second } from './testing';

const now = new Date(second(0));

const stands: [string, Partial<Conversation>][] = [
  ['an open one', {}],
  ['a pending one of a colleague', { status: 'pending', assignee_id: 'usr_peter', labels: ['vip'], priority: 'high' }],
  ['one that sleeps', { status: 'snoozed', snoozed_until: second(3600) }],
  ['a resolved one', { status: 'resolved', team_id: 'tea_1', subject: 'Invoice' }],
  ['spam', { spam: true }],
];
const changes: Change[] = [
  { status: 'resolved' }, { status: 'open' }, { status: 'pending' }, { snoozed_until: second(60) }, { snoozed_until: null }, { assignee_id: 'usr_ana' }, { assignee_id: null },
  { labels: ['a', 'b'] }, { labels: [] }, { team_id: 'tea_2' }, { priority: 'urgent' }, { subject: null }, { spam: true }, { spam: false },
];

it.each(stands)('takes each change of %s back by its inverse', (_, stand) => {
  const before = aConversation('a', { spam: false, ...stand });
  for (const change of changes) {
    const back = inverse(before, change, now);
    expect(changed(changed(before, change), back)).toEqual(before);
    // It touches nothing that the change did not.
    const statusOf = (key: string) => (key === 'snoozed_until' ? 'status' : key);
    expect(Object.keys(back).map(statusOf)).toEqual(Object.keys(change).map(statusOf));
  }
});

it('opens what would have woken meanwhile', () => {
  const before = aConversation('a', { status: 'snoozed', snoozed_until: second(-60) });
  expect(inverse(before, { status: 'resolved' }, now)).toEqual({ status: 'open' });
});

it('keeps the statuses and the sleep together as the daemon does', () => {
  expect(changed(aConversation('a'), { snoozed_until: second(60) })).toMatchObject({ status: 'snoozed', snoozed_until: second(60) });
  const asleep = aConversation('a', { status: 'snoozed', snoozed_until: second(60) });
  expect(changed(asleep, { snoozed_until: null })).toMatchObject({ status: 'open', snoozed_until: null });
  expect(changed(asleep, { status: 'resolved' })).toMatchObject({ status: 'resolved', snoozed_until: null });
});

it('asks for the same change once, and for at most so many at once', () => {
  const all = new Map<string, Change>();
  for (let at = 0; at < 450; at += 1) all.set(`c${at}`, at % 9 === 0 ? { labels: ['a'] } : { status: 'resolved' });
  const groups = grouped(all);
  expect(groups.map(({ ids }) => ids.length)).toEqual([50, 200, 200]);
  expect(groups.flatMap(({ ids }) => ids).sort()).toEqual([...all.keys()].sort());
  for (const { ids, change } of groups) for (const id of ids) expect(all.get(id)).toEqual(change);
});
