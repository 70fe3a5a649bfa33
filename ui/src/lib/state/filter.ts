import type { Conversation as Plain } from '../api/client';

export type Status = Plain['status'];
export type Sort = 'activity' | 'waiting';

/** A conversation, with what newer daemons tell of it beside the rest. */
export type Conversation = Plain & {
  spam?: boolean;
  blocked?: boolean;
  last_said?: Plain['last_message'];
};

/** What of the inbox is wanted: the parameters of `GET conversations`, each as a value. */
export interface Filter {
  status?: readonly Status[];
  channel?: string;
  /** `me`, `none` or a user's id. */
  assignee?: string;
  team?: string;
  label?: string;
  unread?: boolean;
  waiting?: boolean;
  mentioned?: 'me';
  spam?: boolean;
  q?: string;
  sort?: Sort;
}

export const UNRESOLVED: readonly Status[] = ['open', 'pending', 'snoozed'];

/** The views that everybody has, in the order in which they are shown. */
export const VIEWS = {
  unanswered: { waiting: true, sort: 'waiting' },
  mine: { status: ['open'], assignee: 'me' },
  unassigned: { status: ['open'], assignee: 'none' },
  open: { status: ['open'] },
  pending: { status: ['pending'] },
  snoozed: { status: ['snoozed'] },
  mentions: { status: UNRESOLVED, mentioned: 'me' },
  resolved: { status: ['resolved'] },
  spam: { status: UNRESOLVED, spam: true },
} as const satisfies Record<string, Filter>;

export type ViewName = keyof typeof VIEWS;

/** Whether somebody waits for an answer of ours, by the daemon's rule. */
export function isUnanswered(conversation: Conversation): boolean {
  const { waiting_since: since, status, spam, blocked } = conversation;
  return !!since && !spam && !blocked && (status === 'open' || status === 'pending');
}

/** Whether it rings: somebody waits, and nobody has taken it. */
export const rings = (conversation: Conversation): boolean => isUnanswered(conversation) && !conversation.assignee_id;

/** What was said last; the newest entry where the daemon does not tell the two apart. */
export const lastSaid = (conversation: Conversation): Plain['last_message'] => conversation.last_said ?? conversation.last_message;

function holds(words: string, texts: (string | null | undefined)[]): boolean {
  return texts.some((text) => text?.toLowerCase().includes(words));
}

/**
 * Whether a conversation is in a view, as the daemon would say: `unknown` where only the daemon knows, which then counts
 * as staying where it is.
 */
export function fits(conversation: Conversation, filter: Filter, me: string | null): boolean | 'unknown' {
  if ((conversation.spam ?? false) !== (filter.spam ?? false)) return false;
  if ((filter.waiting || filter.sort === 'waiting') && !isUnanswered(conversation)) return false;
  if (filter.status && !filter.status.includes(conversation.status)) return false;
  if (filter.channel !== undefined && conversation.channel_id !== filter.channel) return false;
  if (filter.assignee === 'none' && conversation.assignee_id) return false;
  if (filter.assignee === 'me' && (!me || conversation.assignee_id !== me)) return false;
  if (filter.assignee !== undefined && filter.assignee !== 'none' && filter.assignee !== 'me' && conversation.assignee_id !== filter.assignee) return false;
  if (filter.team !== undefined && conversation.team_id !== filter.team) return false;
  if (filter.label !== undefined && !conversation.labels.includes(filter.label)) return false;
  if (filter.unread && conversation.unread_count === 0) return false;
  const words = filter.q?.trim().toLowerCase();
  if (words && !holds(words, [conversation.contact.name, conversation.subject, lastSaid(conversation)?.preview])) return false;
  // Which notes mention whom is not in a conversation.
  return filter.mentioned ? 'unknown' : true;
}

/** Both at once; where they speak of the same the second one counts. */
export const narrowed = (filter: Filter, more: Filter): Filter => ({ ...filter, ...more });

/** A filter as the parameters of `GET conversations`. */
export function parameters(filter: Filter): URLSearchParams {
  const query = new URLSearchParams();
  if (filter.status?.length) query.set('status', filter.status.join(','));
  for (const name of ['channel', 'assignee', 'team', 'label', 'mentioned'] as const) {
    const value = filter[name];
    if (value !== undefined) query.set(name, value);
  }
  for (const name of ['unread', 'waiting', 'spam'] as const) if (filter[name]) query.set(name, 'true');
  if (filter.q?.trim()) query.set('q', filter.q.trim());
  if (filter.sort && filter.sort !== 'activity') query.set('sort', filter.sort);
  return query;
}

/** The time by which a conversation is ordered in a view, in milliseconds; null where it has no place in that order. */
export function sortTime(conversation: Conversation, sort: Sort): number | null {
  const time = sort === 'waiting' ? conversation.waiting_since : conversation.last_activity_at;
  return time ? Date.parse(time) : null;
}
