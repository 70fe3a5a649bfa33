import { language, t, type Key } from '../../lib/i18n/index.svelte';
import { channels } from '../../lib/state/channels.svelte';
import { conversations } from '../../lib/state/conversations.svelte';
import { people } from '../../lib/state/people.svelte';
import { session } from '../../lib/state/session.svelte';
import { until, waiting } from '../../lib/time';
import { alarmTitle } from '../hearing/alarms';
import { nameOf } from '../inbox/words';
import { took } from './figures';
import { names } from './ledger.svelte';
import { isAlarm, isHeld, soundsFrom, takenAfter, unheard, type Ring } from './rings';

/** What a ring is about: the customer's name, or what an alarm says. */
export function titleOf(ring: Ring): string {
  if (isAlarm(ring)) return alarmTitle(ring);
  const conversation = conversations.get(ring.conversation_id ?? '');
  if (conversation) return nameOf(conversation);
  return names.gone(ring.conversation_id ?? '') ? t('bell.erased') : t('bell.aCustomer');
}

const ADVICE: Record<string, Key> = {
  nobody: 'alarm.do.nobody', channel: 'alarm.do.channel', undelivered: 'alarm.do.undelivered', silence: 'alarm.do.silence', disk: 'alarm.do.disk',
  lag: 'alarm.do.lag', certificate: 'alarm.do.certificate', device: 'alarm.do.device',
};

/** What to do about an alarm, in the reader's language; null where that is what the daemon says itself. */
export function adviceOf({ kind }: Ring): string | null {
  if (language.code === 'en' || !kind || !Object.hasOwn(ADVICE, kind)) return null;
  const key = ADVICE[kind];
  return key ? t(key) : null;
}

export const channelOf = (ring: Ring): string | null => (ring.channel_id ? (channels.get(ring.channel_id)?.name ?? ring.channel_id) : null);

export const connectorOf = (ring: Ring): string => channels.get(ring.channel_id ?? '')?.connector ?? '';

/** Who did something: you, a colleague by name, or a program. */
export function whoOf(id: string | null | undefined): string {
  if (!id) return t('bell.nobody');
  if (id === session.me?.id) return t('bell.you');
  return people.name(id) ?? (id.startsWith('tok_') ? t('bell.aToken') : t('common.unknownPerson'));
}

/** The name that stands for a person, for their initials. */
export const fullName = (id: string): string | null => (id === session.me?.id ? (session.me?.name ?? null) : people.name(id));

const DEVICES: Record<string, Key> = {
  desk: 'bell.device.desk', 'web-push': 'bell.device.webPush', desktop: 'bell.device.desktop', hook: 'bell.device.hook', command: 'bell.device.command',
};

export const deviceOf = (kind: string): string => (DEVICES[kind] ? t(DEVICES[kind]) : kind);

const ENDED: Record<string, Key> = {
  answered: 'bell.now.answered', resolved: 'bell.now.resolved', snoozed: 'bell.now.snoozed', withdrawn: 'bell.now.withdrawn', over: 'bell.now.over',
};

/** Why it ended, in a word or two. */
export const endOf = (ring: Ring): string => t(ENDED[ring.ended ?? ''] ?? 'bell.now.ended');

export type Tone = 'ringing' | 'taken' | 'ended' | 'unheard';

export function toneOf(ring: Ring, now: number): Tone {
  return unheard(ring, now) ? 'unheard' : ring.state;
}

/** How it stands, in one line. */
export function stateOf(ring: Ring, now: Date): string {
  if (isHeld(ring, now.getTime())) return t('bell.now.held', { when: until(new Date(soundsFrom(ring)), now, language.code) });
  const since = waiting(new Date(soundsFrom(ring)), now);
  if (ring.state === 'ringing') return ring.silenced ? t('bell.now.silenced') : t('bell.now.ringing', { time: since });
  const after = takenAfter(ring);
  if (ring.taken_by && after !== null) return t('bell.now.taken', { who: whoOf(ring.taken_by), time: took(after) });
  return endOf(ring);
}
