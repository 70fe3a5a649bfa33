import type { Schemas } from '../api/client';
import type { Conversation } from './filter';

/** What changes of a conversation: the body of `PATCH conversations/{id}`. */
export type Change = Schemas['ConversationChange'] & { spam?: boolean };

/** The conversation as it will stand after a change, by the daemon's rules. */
export function changed(conversation: Conversation, change: Change): Conversation {
  const next: Conversation = { ...conversation };
  if (change.snoozed_until !== undefined) {
    next.snoozed_until = change.snoozed_until;
    if (change.snoozed_until !== null) next.status = 'snoozed';
    else if (next.status === 'snoozed') next.status = 'open';
  }
  if (change.status) next.status = change.status;
  if (next.status !== 'snoozed') next.snoozed_until = null;
  if (change.assignee_id !== undefined) next.assignee_id = change.assignee_id;
  if (change.team_id !== undefined) next.team_id = change.team_id;
  if (change.labels) next.labels = change.labels;
  if (change.priority !== undefined) next.priority = change.priority;
  if (change.subject !== undefined) next.subject = change.subject;
  if (change.spam !== undefined) next.spam = change.spam;
  return next;
}

/** The change that takes a change back, from how the conversation stood before it. */
export function inverse(before: Conversation, change: Change, now: Date): Change {
  const back: Change = {};
  if (change.status !== undefined || change.snoozed_until !== undefined) {
    const until = before.status === 'snoozed' ? before.snoozed_until : null;
    // A sleep that would be over by now is not taken by the daemon, and would have ended in `open`.
    if (until && Date.parse(until) > now.getTime()) back.snoozed_until = until;
    else back.status = before.status === 'snoozed' ? 'open' : before.status;
  }
  if (change.assignee_id !== undefined) back.assignee_id = before.assignee_id ?? null;
  if (change.team_id !== undefined) back.team_id = before.team_id ?? null;
  if (change.labels) back.labels = [...before.labels];
  if (change.priority !== undefined) back.priority = before.priority ?? null;
  if (change.subject !== undefined) back.subject = before.subject ?? null;
  if (change.spam !== undefined) back.spam = before.spam ?? false;
  return back;
}

/** The same change for many at once, as few requests as can be: which ids take which change, at most `most` of them each. */
export function grouped(changes: ReadonlyMap<string, Change>, most = 200): { ids: string[]; change: Change }[] {
  const groups = new Map<string, { ids: string[]; change: Change }>();
  for (const [id, change] of changes) {
    const key = JSON.stringify(change, Object.keys(change).sort());
    const group = groups.get(key);
    if (group) group.ids.push(id);
    else groups.set(key, { ids: [id], change });
  }
  return [...groups.values()].flatMap(({ ids, change }) => {
    const parts = [];
    for (let at = 0; at < ids.length; at += most) parts.push({ ids: ids.slice(at, at + most), change });
    return parts;
  });
}
