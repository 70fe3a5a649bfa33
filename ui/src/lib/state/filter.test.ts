import { describe, expect, it } from 'vitest';

import { fits, isUnanswered, narrowed, parameters, rings, sortTime, VIEWS, type Conversation, type Filter } from './filter';
import { aConversation, second } from './testing';

const ME = 'usr_ana';
const waits = { waiting_since: second(0) };

describe('fits', () => {
  const cases: [string, Partial<Conversation>, Filter, boolean | 'unknown'][] = [
    ['somebody waits', waits, VIEWS.unanswered, true],
    ['somebody waits while it is pending', { ...waits, status: 'pending' }, VIEWS.unanswered, true],
    ['nobody waits', {}, VIEWS.unanswered, false],
    ['resolved although the last word is the customer’s', { ...waits, status: 'resolved' }, VIEWS.unanswered, false],
    ['asleep', { ...waits, status: 'snoozed', snoozed_until: second(60) }, VIEWS.unanswered, false],
    ['spam waits for nobody', { ...waits, spam: true }, VIEWS.unanswered, false],
    ['the blocked wait for nobody', { ...waits, blocked: true }, VIEWS.unanswered, false],
    ['the order by waiting wants those who wait', {}, { sort: 'waiting' }, false],
    ['mine', { assignee_id: ME }, VIEWS.mine, true],
    ['mine, but resolved', { assignee_id: ME, status: 'resolved' }, VIEWS.mine, false],
    ['a colleague’s', { assignee_id: 'usr_peter' }, VIEWS.mine, false],
    ['nobody’s is not mine', {}, VIEWS.mine, false],
    ['nobody’s', {}, VIEWS.unassigned, true],
    ['a colleague’s is not nobody’s', { assignee_id: 'usr_peter' }, VIEWS.unassigned, false],
    ['one person’s by id', { assignee_id: 'usr_peter' }, { assignee: 'usr_peter' }, true],
    ['open', {}, VIEWS.open, true],
    ['pending is not open', { status: 'pending' }, VIEWS.open, false],
    ['spam is nowhere else', { spam: true }, VIEWS.open, false],
    ['spam', { spam: true }, VIEWS.spam, true],
    ['what is no spam', {}, VIEWS.spam, false],
    ['only the daemon knows who is mentioned', {}, VIEWS.mentions, 'unknown'],
    ['a resolved one is out of the mentions', { status: 'resolved' }, VIEWS.mentions, false],
    ['its channel', {}, { channel: 'website' }, true],
    ['another channel', {}, { channel: 'shop-page' }, false],
    ['a label', { labels: ['vip', 'invoice'] }, { label: 'invoice' }, true],
    ['not that label', { labels: ['vip'] }, { label: 'invoice' }, false],
    ['a team', { team_id: 'tea_1' }, { team: 'tea_1' }, true],
    ['another team', { team_id: 'tea_2' }, { team: 'tea_1' }, false],
    ['unread', { unread_count: 1 }, { unread: true }, true],
    ['read', {}, { unread: true }, false],
    ['several statuses', { status: 'pending' }, { status: ['open', 'pending'] }, true],
    ['words of the name', { contact: { id: 'c', name: 'Jana NOVÁKOVÁ' } }, { q: ' nováková ' }, true],
    ['words of the subject', { subject: 'Invoice 118' }, { q: 'invoice' }, true],
    ['words of what was said last', {}, { q: 'morning' }, true],
    ['what was said counts before what happened', { last_said: { id: 'm', preview: 'Thanks', direction: 'inbound', at: second(0) } }, { q: 'morning' }, false],
    ['no such words', {}, { q: 'evening' }, false],
    ['blanks are no words', {}, { q: '  ' }, true],
  ];
  it.each(cases)('%s', (_, conversation, filter, expected) => {
    expect(fits(aConversation('a', conversation), filter, ME)).toBe(expected);
  });

  it('has nothing of mine for who is no person', () => {
    expect(fits(aConversation('a', { assignee_id: null }), VIEWS.mine, null)).toBe(false);
  });
});

it('rings only while nobody has it', () => {
  expect(rings(aConversation('a', waits))).toBe(true);
  expect(rings(aConversation('a', { ...waits, assignee_id: 'usr_peter' }))).toBe(false);
  expect(isUnanswered(aConversation('a', { ...waits, assignee_id: 'usr_peter' }))).toBe(true);
});

it('asks for a view in the daemon’s words', () => {
  expect(parameters(VIEWS.unanswered).toString()).toBe('waiting=true&sort=waiting');
  expect(parameters(VIEWS.mentions).get('status')).toBe('open,pending,snoozed');
  expect(parameters(narrowed(VIEWS.open, { channel: 'a b', label: 'ä&b', unread: true, q: ' x ' })).toString()).toBe('status=open&channel=a+b&label=%C3%A4%26b&unread=true&q=x');
  expect(parameters({ unread: false, waiting: false, q: ' ', sort: 'activity' }).toString()).toBe('');
});

it('orders by the time that the view is about', () => {
  const one = aConversation('a', { waiting_since: second(5), last_activity_at: second(9) });
  expect(sortTime(one, 'waiting')).toBe(Date.parse(second(5)));
  expect(sortTime(one, 'activity')).toBe(Date.parse(second(9)));
  expect(sortTime(aConversation('a'), 'waiting')).toBeNull();
});
