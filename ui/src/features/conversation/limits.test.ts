import { describe, expect, it } from 'vitest';

import { countChars, fileTrouble, fillOf, limitsOf, MOST_CHARS, sizeOf, type Limited } from './limits';

const chat: Limited = { text_limit: 1000, chat: { script_url: '', try_url: '' } };
const platform: Limited = { text_limit: 1000, limits: { text_chars: 1000, attachments: { count: 3, bytes: { image: 8_000_000, audio: 0, video: 25_000_000, file: 25_000_000 } } } };

describe('limits', () => {
  it('are the channel’s for a reply and only the daemon’s for a note', () => {
    expect(limitsOf(chat, false).chars).toBe(1000);
    expect(limitsOf(platform, false).files).toBe(3);
    expect(limitsOf(platform, true)).toMatchObject({ chars: null, files: 20 });
    expect(limitsOf({ text_limit: null }, false).chars).toBeNull();
    expect(limitsOf(undefined, false).chars).toBeNull();
  });

  it('count as the daemon does', () => {
    expect(countChars('Dobrý deň')).toBe(9);
    expect(countChars('📦📦')).toBe(2);
    expect(countChars('👩‍👧')).toBe(3);
  });

  it('speak up near the end', () => {
    expect([0, 900, 901, 1000, 1001].map((count) => fillOf(count, limitsOf(chat, false)))).toEqual(['plain', 'plain', 'near', 'near', 'over']);
    expect(fillOf(1001, limitsOf(platform, false))).toBe('parts');
    expect(fillOf(50, limitsOf({ text_limit: null }, false))).toBe('hidden');
    expect(fillOf(MOST_CHARS + 1, limitsOf(undefined, true))).toBe('over');
    expect(fillOf(MOST_CHARS + 1, limitsOf(platform, false))).toBe('over');
  });

  it('know what of files the channel takes', () => {
    const limits = limitsOf(platform, false);
    expect(fileTrouble({ mime_type: 'image/png', size: 8_000_000 }, limits)).toBeNull();
    expect(fileTrouble({ mime_type: 'image/png', size: 8_000_001 }, limits)).toEqual({ most: 8_000_000 });
    expect(fileTrouble({ mime_type: 'audio/ogg', size: 1 }, limits)).toBe('none');
    expect(fileTrouble({ mime_type: 'application/pdf', size: 9_000_000 }, limits)).toBeNull();
    expect(fileTrouble({ mime_type: 'audio/ogg', size: 1 }, limitsOf(platform, true))).toBeNull();
  });

  it('say sizes as people do', () => {
    expect([0, 999, 48_211, 1_234_567, 25 * 1024 * 1024].map((bytes) => sizeOf(bytes))).toEqual(['0 B', '999 B', '48 kB', '1.2 MB', '26 MB']);
  });
});
