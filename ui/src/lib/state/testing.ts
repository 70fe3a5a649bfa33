import type { Conversation } from './filter';

/** A conversation for tests: invented, and whole but for what a test says. */
export function aConversation(id: string, more: Partial<Conversation> = {}): Conversation {
  return {
    id,
    channel_id: 'website',
    connector: 'webchat',
    contact: { id: `cus_${id}`, name: `Person ${id}`, avatar_url: null },
    status: 'open',
    assignee_id: null,
    team_id: null,
    spam: false,
    blocked: false,
    labels: [],
    priority: null,
    subject: null,
    snoozed_until: null,
    unread_count: 0,
    message_count: 1,
    last_message: { id: `msg_${id}`, preview: 'Good morning', direction: 'inbound', at: '2026-11-21T10:00:00.000Z' },
    waiting_since: null,
    reply_window: { state: 'open', closes_at: null },
    created_at: '2026-11-21T10:00:00.000Z',
    last_activity_at: '2026-11-21T10:00:00.000Z',
    ...more,
  };
}

/** The time so many seconds after ten o'clock of the tests' day. */
export const second = (seconds: number): string => new Date(Date.parse('2026-11-21T10:00:00.000Z') + seconds * 1000).toISOString();
