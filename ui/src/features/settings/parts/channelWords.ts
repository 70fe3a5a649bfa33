import { t } from '../../../lib/i18n/index.svelte';
import { channels } from '../../../lib/state/channels.svelte';
import type { VisibleChannels } from '../types';

/** Which channels, in words: all, the names of up to two, else how many. */
export function channelWords(value: VisibleChannels | null | undefined): string {
  if (value === 'all' || value == null) return t('settings.channels.all');
  if (value.length === 0) return t('settings.channels.no');
  if (value.length > 2) return t('settings.channels.count', { n: value.length });
  return value.map((id) => channels.get(id)?.name ?? id).join(', ');
}
