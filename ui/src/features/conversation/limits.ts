import type { Channel } from '../../lib/api/client';

/** What the daemon takes at the most, whatever the platform. */
export const MOST_CHARS = 100_000;
export const MOST_FILES = 20;
export const MOST_BYTES = 25 * 1024 * 1024;

type FileKind = 'image' | 'audio' | 'video' | 'file';

/** What a channel says of its answers, as `GET channels` tells it. */
export interface ReplyLimits {
  text_chars?: number | null;
  attachments: { count: number; bytes: Record<FileKind, number> };
}

export type Limited = Pick<Channel, 'text_limit' | 'chat'> & { limits?: ReplyLimits | null };

export interface Limits {
  /** Characters of one message; null: no limit worth showing. */
  chars: number | null;
  /** Whether a longer text goes out in several messages, or not at all. */
  parts: boolean;
  files: number;
  bytes: Record<FileKind, number>;
}

/** What an answer through a channel may have; notes go nowhere and are bound by the daemon only. */
export function limitsOf(channel: Limited | undefined, note: boolean): Limits {
  const limits = note ? null : channel?.limits;
  const most = { image: MOST_BYTES, audio: MOST_BYTES, video: MOST_BYTES, file: MOST_BYTES };
  return {
    chars: note ? null : (limits?.text_chars ?? channel?.text_limit ?? null),
    // The desk serves its own website chat and takes no more there; platforms get the rest in a message of its own.
    parts: !channel?.chat,
    files: limits?.attachments.count ?? MOST_FILES,
    bytes: limits?.attachments.bytes ?? most,
  };
}

export function fileKind(mime: string): FileKind {
  const kind = mime.split('/')[0];
  return kind === 'image' || kind === 'audio' || kind === 'video' ? kind : 'file';
}

/** What of a file is too much: `none` where the channel takes no such files at all. */
export function fileTrouble(file: { mime_type: string; size: number }, limits: Limits): { most: number } | 'none' | null {
  const most = limits.bytes[fileKind(file.mime_type)];
  if (most === 0) return 'none';
  return file.size > most ? { most } : null;
}

/** Characters as the daemon counts them: by code point, not by UTF-16 unit. */
export const countChars = (text: string): number => {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
};

export type Fill = 'hidden' | 'plain' | 'near' | 'parts' | 'over';

/** Whether the counter is shown, and how: it speaks up in the last tenth. */
export function fillOf(count: number, limits: Limits): Fill {
  if (count > MOST_CHARS) return 'over';
  if (limits.chars === null) return 'hidden';
  if (count > limits.chars) return limits.parts ? 'parts' : 'over';
  if (count > limits.chars * 0.9) return 'near';
  return 'plain';
}

/** A size as people say it: 48 kB, 1.2 MB. */
export function sizeOf(bytes: number, locale = 'en'): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB'];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString(locale, { maximumFractionDigits: value < 10 ? 1 : 0 })} ${units[unit]}`;
}
