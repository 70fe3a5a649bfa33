import type { Message } from '../../lib/api/client';
import { t, type Key } from '../../lib/i18n/index.svelte';
import { metadataOf } from './types';

/** Who is meant by an id, and how a moment is said. */
export interface Known {
  person: (id: string) => string | undefined;
  team: (id: string) => string | undefined;
  time: (at: Date) => string;
}

const PRIORITIES = new Set(['low', 'normal', 'high', 'urgent']);

const list = (value: unknown): string[] => (Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : []);

/**
 * What was done with a conversation, in the reader's language, by what the entry says of it: what changed, from what to
 * what. The daemon's own words, which are English, where it says something that is not known here.
 */
export function activityWords(message: Pick<Message, 'text' | 'metadata' | 'author'>, known: Known): string {
  const told = message.text ?? '';
  const activity = metadataOf(message).get('activity');
  const { what, from, to, until } = (typeof activity === 'object' && activity !== null ? activity : {}) as Partial<Record<string, unknown>>;
  const author = message.author;
  const name = author.type === 'system' ? 'Deskbell' : (author.name ?? t('common.unknownPerson'));
  switch (what) {
    case 'status': {
      if (to === 'open') return author.type === 'system' ? t('activity.woke') : t(from === 'resolved' ? 'activity.reopened' : 'activity.open', { name });
      if (to === 'pending') return t('activity.pending', { name });
      if (to === 'resolved') return t('activity.resolved', { name });
      if (to !== 'snoozed') return told;
      const at = typeof until === 'string' ? new Date(until) : null;
      return at && !Number.isNaN(at.getTime()) ? t('activity.snoozedUntil', { name, time: known.time(at) }) : t('activity.snoozed', { name });
    }
    case 'assignee':
      if (typeof to !== 'string') return t('activity.unassigned', { name });
      if (to === author.id) return t('activity.taken', { name });
      return t('activity.assigned', { name, other: known.person(to) ?? t('common.unknownPerson') });
    case 'team': {
      if (typeof to !== 'string') return t('activity.noTeam', { name });
      const other = known.team(to);
      return other ? t('activity.team', { name, other }) : told;
    }
    case 'labels': {
      const [before, after] = [list(from), list(to)];
      const added = after.filter((label) => !before.includes(label)).join(', ');
      const removed = before.filter((label) => !after.includes(label)).join(', ');
      if (added && removed) return t('activity.relabelled', { name, labels: added, removed });
      if (added) return t('activity.labelled', { name, labels: added });
      return removed ? t('activity.unlabelled', { name, labels: removed }) : told;
    }
    case 'priority':
      if (typeof to !== 'string') return t('activity.noPriority', { name });
      return PRIORITIES.has(to) ? t('activity.priority', { name, priority: t(`conversation.priority.${to}` as Key).toLocaleLowerCase() }) : told;
    case 'spam':
      return t(to === true ? 'activity.spam' : 'activity.noSpam', { name });
    default:
      return told;
  }
}
