import { ask } from '../../lib/api/client';
import { t } from '../../lib/i18n/index.svelte';
import { conversations, type Change, type Conversation } from '../../lib/state/conversations.svelte';
import { toasts } from '../../lib/state/toasts.svelte';
import { inbox } from '../inbox/inbox.svelte';

/** What can be done with one conversation: by the ways of the list, so that both say and undo the same. */

const one = (id: string, change: Change) => new Map([[id, change]]);

export const resolve = (conversation: Conversation) =>
  conversation.status === 'resolved' || conversation.status === 'snoozed'
    ? inbox.change(one(conversation.id, { status: 'open' }), 'done.reopened')
    : inbox.change(one(conversation.id, { status: 'resolved' }), 'done.resolved');

export const unassign = (conversation: Conversation) => inbox.change(one(conversation.id, { assignee_id: null, team_id: null }), 'done.unassigned');

/** A change that hides nothing: it is seen where it was made, and needs no words. */
export async function change(conversation: Conversation, what: Change): Promise<void> {
  try {
    await conversations.change(conversation.id, what);
  } catch (error) {
    toasts.failed(error);
  }
}

/** Blocks a person, or lets them through again. */
export async function block(contact: string, name: string, is: boolean): Promise<boolean> {
  try {
    await ask('PATCH', `/api/v1/contacts/${encodeURIComponent(contact)}`, { blocked: is });
    toasts.say(t(is ? 'conversation.blockedNow' : 'conversation.unblockedNow', { name }), { action: { label: t('common.undo'), do: () => void block(contact, name, !is) } });
    return true;
  } catch (error) {
    toasts.failed(error);
    return false;
  }
}

/** Whether the window for replies ends soon enough to say so loudly: within two hours. */
export const closesSoon = (closes: Date, at: Date): boolean => closes.getTime() - at.getTime() < 2 * 3_600_000;
