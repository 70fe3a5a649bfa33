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

/** The daemon's titles, which say more than the kind does; the names say what the parts in brackets are. */
const SAID: readonly (readonly [form: RegExp, key: Key, ...names: string[]])[] = [
  [/^A customer waits in (.+), and nobody (?:may answer there|is on duty)$/, 'alarm.nobody', 'channel'],
  [/^A customer waits in (.+), and nothing has shown it$/, 'alarm.unshown', 'channel'],
  [/^(.+) is on (?:call|duty) and cannot be rung$/, 'alarm.unreached', 'name'],
  [/^(.+) of (.+) does not ring$/, 'alarm.deviceOf', 'device', 'name'],
  [/^(.+) of (.+) has not shown for a day that it rings$/, 'alarm.deviceSilent', 'device', 'name'],
  [/^The search does not keep up$/, 'alarm.search'],
  [/^Browsers are told too late that it rings$/, 'alarm.late'],
  [/^The TLS certificate has ended$/, 'alarm.certificateOver'],
];

/**
 * What is wrong, in a few words. The daemon says it in English; in another language it is what that means where its form is
 * known, else what its kind means, and what has no kind that this build knows is said as it came.
 */
export function alarmTitle({ kind, title, channel_id: channel }: Alarming): string {
  const said = title?.trim() ?? '';
  if (language.code === 'en' && said) return said;
  for (const [form, key, ...names] of SAID) {
    const found = form.exec(said);
    if (found) return t(key, Object.fromEntries(names.map((name, n) => [name, found[n + 1]])));
  }
  const key = Object.hasOwn(TITLES, kind ?? '') ? TITLES[kind ?? ''] : undefined;
  if (!key) return said || t('alarm.untitled');
  return t(key, { channel: channel ? (channels.get(channel)?.name ?? channel) : '' });
}
