import type { Conversation } from '../../lib/api/client';
import type { Ringing, SoundClass } from './policy';

/** Connectors whose messages are letters: nobody sits and waits for the answer. */
const LETTERS = new Set(['email', 'form']);

export const classOf = (connector: string): SoundClass => (LETTERS.has(connector) ? 'mail' : 'chat');

/** A conversation as lists and events carry it; a daemon may know more of it than this build. */
export type Waiting = Pick<Conversation, 'id' | 'connector' | 'status'> &
  Partial<Pick<Conversation, 'assignee_id' | 'waiting_since' | 'last_message'>> & { spam?: boolean; blocked?: boolean };

/**
 * What rings for this person because of this conversation: a customer waits, and nobody has it, or they themselves.
 * When the daemon's own bell says what rings (`bell.rung`), its rings are made into the same.
 */
export function ringingOf(conversation: Waiting, me: string | null, others: boolean): Ringing | null {
  const { waiting_since: since, assignee_id: assignee, last_message: last } = conversation;
  if (!since || conversation.spam || conversation.blocked) return null;
  if (conversation.status === 'resolved' || conversation.status === 'snoozed') return null;
  if (assignee && assignee !== me && !others) return null;
  const theirs = last?.direction === 'inbound' ? last : null;
  return {
    id: conversation.id,
    class: classOf(conversation.connector),
    untaken: !assignee,
    // Behind an answer of ours that failed, which message of theirs is the newest is not told: older than any is safe.
    newest: theirs?.id ?? 'msg_',
    since: Date.parse(theirs?.at ?? since),
  };
}
