import { language, t, type Key } from '../../lib/i18n/index.svelte';
import { channels } from '../../lib/state/channels.svelte';

/** What of an alarm its words are made of. */
export interface Alarming {
  kind?: string | null;
  title?: string | null;
  channel_id?: string | null;
}

const TITLES: Record<string, Key> = {
  nobody: 'alarm.nobody', channel: 'alarm.channel', undelivered: 'alarm.undelivered', silence: 'alarm.silence', disk: 'alarm.disk',
  lag: 'alarm.lag', certificate: 'alarm.certificate', device: 'alarm.device',
};

/**
 * What is wrong, in a few words. The daemon says it in English, and more exactly; in another language it is what its kind
 * means, and what has no kind that this build knows is said as it came.
 */
export function alarmTitle({ kind, title, channel_id: channel }: Alarming): string {
  const said = title?.trim();
  const key = Object.hasOwn(TITLES, kind ?? '') ? TITLES[kind ?? ''] : undefined;
  if (!key || (language.code === 'en' && said)) return said || t('alarm.untitled');
  return t(key, { channel: channel ? (channels.get(channel)?.name ?? channel) : '' });
}
