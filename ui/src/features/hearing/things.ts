import type { Conversation } from '../../lib/api/client';
import type { Ringing, SoundClass } from './policy';

/** Connectors whose messages are letters: nobody sits and waits for the answer. */
const LETTERS = new Set(['email', 'form']);

export const classOf = (connector: string): SoundClass => (LETTERS.has(connector) ? 'mail' : 'chat');

/** A conversation as lists and events carry it; a daemon may know more of it than this build. */
export type Waiting = Pick<Conversation, 'id' | 'connector' | 'status'> &
  Partial<Pick<Conversation, 'assignee_id' | 'waiting_since' | 'last_message'>> & { spam?: boolean; blocked?: boolean };

/** What of a ring decides whether it sounds here. */
export interface Told {
  id: string;
  /** None of an alarm. */
  conversation_id?: string | null;
  channel_id?: string | null;
  state: string;
  /** The first is 1; 0 while it waits for its channel to open. */
  step: number;
  started_at: string;
  next_step_at?: string | null;
  /** Nothing sounds for now: an answer is on its way, or its channel is closed. */
  silenced?: boolean;
  held_until?: string | null;
  /** Whom it tells at this step: `usr_…`. An older daemon does not say, and of a ring that nobody may hear it is empty. */
  told?: readonly string[];
  /** What an alarm is about. */
  kind?: string | null;
  title?: string | null;
  /** What came of telling devices. */
  attempts?: readonly { result: string }[];
}

/** Who sits here, and whether they want to hear also what is their colleagues'. */
export interface Listener {
  me: string | null;
  others: boolean;
}

/** Somebody waits, but nothing is to sound for now: what comes of it sounds anew. */
export const STILL = 'still';

/** Where a ring belongs: its conversation, or an alarm by itself. */
export const placeOf = (ring: Told): string => ring.conversation_id || ring.id;

/** Whether a customer waits there. */
export const waits = (conversation: Waiting): boolean =>
  Boolean(conversation.waiting_since) &&
  !conversation.spam && !conversation.blocked &&
  conversation.status !== 'resolved' && conversation.status !== 'snoozed';

/** Whether the bell tells this person; null where it does not say whom. */
function tells({ told }: Told, { me }: Listener): boolean | null {
  return me !== null && told !== undefined && told.length > 0 ? told.includes(me) : null;
}

/** How far a ring has climbed: another one for each step, and for each time that the last one is repeated. */
const reachedOf = (ring: Told): string => `${ring.id} ${ring.step} ${ring.next_step_at ?? ''}`;

const timeOf = (time: string | null | undefined): number => (time && Date.parse(time)) || 0;

/**
 * What rings for this person because of this conversation. The daemon's ring says who is told; where it is not known, or
 * does not say, it is whoever has the conversation, or where nobody has it everybody: rather one too many.
 */
export function ringingOf(conversation: Waiting, listener: Listener, ring: Told | null = null): Ringing | typeof STILL | null {
  if (!waits(conversation)) return null;
  const { me, others } = listener;
  const { assignee_id: assignee, last_message: last } = conversation;
  if (ring?.silenced) return STILL;
  const told = ring && tells(ring, listener);
  const forMe = told ?? (!assignee || assignee === me);
  if (!forMe && !others) return null;
  const theirs = last?.direction === 'inbound' ? last : null;
  const escalated = ring !== null && ring.step > 1;
  return {
    id: conversation.id,
    class: classOf(conversation.connector),
    // Whoever has it has not come: then it is everybody's again.
    untaken: !assignee || (escalated && assignee !== me),
    // Behind an answer of ours that failed, which message of theirs is the newest is not told: older than any is safe.
    newest: theirs?.id ?? 'msg_',
    // What was written on Friday evening and waited for the shop to open is Monday morning's.
    since: Math.max(timeOf(theirs?.at ?? conversation.waiting_since), timeOf(ring?.held_until)),
    reached: ring ? reachedOf(ring) : '',
    escalated,
  };
}

/** What rings by a ring alone: an alarm, or a conversation of which nothing else is known. */
export function ringingBy(ring: Told, listener: Listener, connector: string): Ringing | typeof STILL | null {
  if (ring.state !== 'ringing') return null;
  if (ring.silenced) return STILL;
  const alarm = !ring.conversation_id;
  const told = tells(ring, listener);
  // What colleagues have is a customer: an alarm is only for whom it is for.
  if (told === false && (alarm || !listener.others)) return null;
  return {
    id: placeOf(ring),
    class: alarm ? 'alarm' : classOf(connector),
    untaken: true,
    newest: 'msg_',
    since: Math.max(timeOf(ring.started_at), timeOf(ring.held_until)),
    reached: reachedOf(ring),
    escalated: ring.step > 1,
  };
}
