import { api, ApiProblem, ask, type Conversation, type Schemas } from '../../lib/api/client';
import { language, t } from '../../lib/i18n/index.svelte';
import { now } from '../../lib/now.svelte';
import { people } from '../../lib/state/people.svelte';
import { session } from '../../lib/state/session.svelte';
import { threads } from '../../lib/state/thread.svelte';
import { toasts } from '../../lib/state/toasts.svelte';
import { until } from '../../lib/time';

export type Change = Schemas['ConversationChange'] & { spam?: boolean; expected_assignee_id?: string | null };

/** Shows a change at once and tells the daemon; takes it back where that fails. Whether it stands. */
export async function change(conversation: Conversation, what: Change): Promise<boolean> {
  const { expected_assignee_id: _, ...shown } = what;
  threads.know({ ...conversation, ...(shown as Partial<Conversation>) });
  try {
    const { data } = await api.PATCH('/api/v1/conversations/{id}', { params: { path: { id: conversation.id } }, body: what });
    if (data) threads.know(data);
    return true;
  } catch (error) {
    threads.know(conversation);
    toasts.failed(error);
    return false;
  }
}

/** The same, with words for it and the way back. */
async function changeWithUndo(conversation: Conversation, what: Change, back: Change, words: string): Promise<boolean> {
  if (!(await change(conversation, what))) return false;
  toasts.say(words, {
    action: {
      label: t('common.undo'),
      do: () => {
        const current = threads.get(conversation.id)?.conversation ?? conversation;
        void change(current, back);
      },
    },
  });
  return true;
}

/** How a conversation stood, to go back to. */
function standing(conversation: Conversation): Change {
  if (conversation.status === 'snoozed' && conversation.snoozed_until && Date.parse(conversation.snoozed_until) > Date.now()) {
    return { snoozed_until: conversation.snoozed_until };
  }
  return { status: conversation.status === 'snoozed' ? 'open' : conversation.status };
}

export const resolve = (conversation: Conversation) => changeWithUndo(conversation, { status: 'resolved' }, standing(conversation), t('conversation.resolved'));
export const reopen = (conversation: Conversation) => changeWithUndo(conversation, { status: 'open' }, standing(conversation), t('conversation.reopened'));
export const setPending = (conversation: Conversation) => changeWithUndo(conversation, { status: 'pending' }, standing(conversation), t('conversation.isPending'));

export function snooze(conversation: Conversation, at: Date): Promise<boolean> {
  return changeWithUndo(conversation, { snoozed_until: at.toISOString() }, standing(conversation), t('conversation.snoozed', { time: until(at, now.time, language.code) }));
}

export function assign(conversation: Conversation, to: { person?: string | null; team?: string | null }): Promise<boolean> {
  const what: Change = {};
  if (to.person !== undefined) what.assignee_id = to.person;
  if (to.team !== undefined) what.team_id = to.team;
  const name = to.person ? people.name(to.person) : to.team ? people.team(to.team)?.name : null;
  const back: Change = { assignee_id: conversation.assignee_id ?? null, team_id: conversation.team_id ?? null };
  return changeWithUndo(conversation, what, back, name ? t('conversation.assigned', { name }) : t('conversation.unassigned'));
}

/** Takes a conversation: of several who do so at once one gets it. `from` takes it over from that person. */
export async function take(conversation: Conversation, from: string | null = null): Promise<void> {
  const me = session.userId;
  if (!me) return;
  threads.know({ ...conversation, assignee_id: me });
  try {
    const taken = await ask<Conversation>('POST', `/api/v1/conversations/${encodeURIComponent(conversation.id)}/take`, from ? { from } : {});
    threads.know(taken);
    toasts.say(t('conversation.tookIt'));
  } catch (error) {
    threads.know(conversation);
    if (error instanceof ApiProblem && error.code === 'taken') {
      const owner = typeof error.body.assignee_id === 'string' ? error.body.assignee_id : null;
      threads.know({ ...conversation, assignee_id: owner });
      toasts.say(t('conversation.taken', { name: people.name(owner) ?? t('common.unknownPerson') }), {
        action: { label: t('conversation.takeAnyway'), do: () => void take({ ...conversation, assignee_id: owner }, owner) },
      });
    } else toasts.failed(error);
  }
}

export const setSpam = (conversation: Conversation, spam: boolean) =>
  changeWithUndo(conversation, { spam }, { spam: !spam }, spam ? t('conversation.markedSpam') : t('conversation.markedNoSpam'));

/** When a conversation can come back, as one would say it. */
export function snoozeTimes(at: Date): { id: 'hours' | 'evening' | 'tomorrow' | 'week'; time: Date }[] {
  const on = (days: number, hour: number) => new Date(at.getFullYear(), at.getMonth(), at.getDate() + days, hour);
  const toMonday = ((8 - at.getDay()) % 7) || 7;
  const times: ReturnType<typeof snoozeTimes> = [{ id: 'hours', time: new Date(Math.ceil((at.getTime() + 3 * 3_600_000) / 300_000) * 300_000) }];
  if (at.getHours() < 16) times.push({ id: 'evening', time: on(0, 18) });
  times.push({ id: 'tomorrow', time: on(1, 9) });
  if (toMonday > 1) times.push({ id: 'week', time: on(toMonday, 9) });
  return times;
}

/** Whether the window for replies ends soon enough to say so loudly: within two hours. */
export const closesSoon = (closes: Date, at: Date): boolean => closes.getTime() - at.getTime() < 2 * 3_600_000;
