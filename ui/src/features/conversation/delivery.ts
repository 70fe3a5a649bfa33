import type { Message } from '../../lib/api/client';
import { metadataOf } from './types';
import { t } from '../../lib/i18n/index.svelte';

/** What is said of a message's way, and what can be done about it. */
export interface DeliveryWords {
  text: string;
  tone: 'quiet' | 'bad' | 'unsure';
  /** What may be done: try again, leave it, say that it arrived, send again. */
  actions: readonly ('retry' | 'dismiss' | 'arrived' | 'again')[];
}

/** The delivery of an outbound message in words; null where there is none. */
export function deliveryWords(message: Pick<Message, 'delivery' | 'metadata'>, channel: string, now: () => number = Date.now): DeliveryWords | null {
  const delivery = message.delivery;
  if (!delivery) return null;
  const dismissed = metadataOf(message).get('dismissed') === true;
  switch (delivery.state) {
    case 'queued':
      // What takes longer than a person would wait for is said to take longer.
      return now() - Date.parse(delivery.at) > 60_000 ? { text: t('delivery.trying'), tone: 'unsure', actions: [] } : { text: t('delivery.queued'), tone: 'quiet', actions: [] };
    case 'sent':
      return { text: t('delivery.sent'), tone: 'quiet', actions: [] };
    case 'delivered':
      return { text: t('delivery.delivered'), tone: 'quiet', actions: [] };
    case 'read':
      return { text: t('delivery.read'), tone: 'quiet', actions: [] };
    case 'failed': {
      if (dismissed) return { text: t('delivery.failedPlain'), tone: 'quiet', actions: [] };
      const why = delivery.error?.detail?.trim().replace(/[.\s]+$/, '');
      return { text: why ? t('delivery.failed', { why }) : t('delivery.failedPlain'), tone: 'bad', actions: ['retry', 'dismiss'] };
    }
    case 'unknown':
      if (dismissed) return { text: t('delivery.unknownPlain'), tone: 'quiet', actions: [] };
      return { text: t('delivery.unknown', { channel }), tone: 'unsure', actions: ['arrived', 'again'] };
    default:
      return null;
  }
}
