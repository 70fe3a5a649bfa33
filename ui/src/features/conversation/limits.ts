import type { Channel } from '../../lib/api/client';

/** What the daemon takes at the most, whatever the platform. */
export const MOST_CHARS = 100_000;
export const MOST_FILES = 20;
export const MOST_BYTES = 25 * 1024 * 1024;

export interface Limits {
  /** Characters of a text; null: no limit worth showing. */
  chars: number | null;
  files: number;
  bytes: number;
}

/** What an answer through a channel may have; notes go nowhere and are bound by the daemon only. */
export function limitsOf(channel: Pick<Channel, 'text_limit'> | undefined, note: boolean): Limits {
  const chars = note ? null : (channel?.text_limit ?? null);
  return { chars, files: MOST_FILES, bytes: MOST_BYTES };
}

/** Characters as the daemon counts them: by code point, not by UTF-16 unit. */
export const countChars = (text: string): number => {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
};

export type Fill = 'hidden' | 'plain' | 'near' | 'over';

/** Whether the counter is shown, and how: it speaks up in the last tenth. */
export function fillOf(count: number, limits: Limits): Fill {
  if (limits.chars === null) return count > MOST_CHARS ? 'over' : 'hidden';
  if (count > limits.chars) return 'over';
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
