import type { Message } from '../../lib/api/client';
import type { Attachment } from './types';
import { t, type Key } from '../../lib/i18n/index.svelte';

/** The name of what an attachment is. */
export const kindName = (kind: Attachment['kind']): string => t(`attachment.${kind}` as Key);

/** A message in a line: its text, or what it carries. */
export function gist(message: Pick<Message, 'text' | 'attachments' | 'deleted_at' | 'direction'>): string {
  if (message.deleted_at) return t('message.takenBackCustomer');
  const text = message.text?.trim();
  if (text) return text.length > 200 ? `${text.slice(0, 200)}…` : text;
  const [first] = message.attachments;
  if (!first) return t('message.nothing');
  const named = first.name ?? first.title;
  return named ? `${kindName(first.kind)}: ${named}` : kindName(first.kind);
}
