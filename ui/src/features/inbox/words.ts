import { t, type Key } from '../../lib/i18n/index.svelte';
import type { Conversation } from '../../lib/state/filter';
import { lastSaid } from '../../lib/state/filter';
import { channels } from '../../lib/state/channels.svelte';

const KINDS = new Set(['image', 'audio', 'video', 'file', 'location', 'sticker', 'contact', 'link', 'story', 'template', 'unsupported']);

/** What an attachment is, in words, with its name. */
export function attachmentWords(kind: string, name?: string | null): string {
  const words = t((KINDS.has(kind) ? `attachment.${kind}` : 'attachment.unsupported') as Key);
  return name ? t('attachment.named', { kind: words, name }) : words;
}

/** The daemon names an attachment without words as `[image] photo.jpg`: the same in the reader's language. */
export function previewWords(preview: string): string {
  const found = /^\[([a-z]+)\](?: (.*))?$/su.exec(preview);
  return found?.[1] && KINDS.has(found[1]) ? attachmentWords(found[1], found[2]) : preview;
}

/** The last words of a conversation, as its row shows them. */
export function lastWords(conversation: Conversation): string {
  const last = lastSaid(conversation);
  if (!last) return conversation.subject ?? '';
  const text = previewWords(last.preview) || t('list.nothing');
  return last.direction === 'outbound' ? t('list.you', { text }) : text;
}

/** The customer's name, or what stands for one who has none. */
export function nameOf(conversation: Pick<Conversation, 'contact' | 'channel_id'>): string {
  const name = conversation.contact.name?.trim();
  if (name) return name;
  const channel = channels.get(conversation.channel_id)?.name;
  return channel ? t('list.unnamedAt', { channel }) : t('list.unnamed');
}
