/** Links in what people write. Text is never markup: this cuts it into pieces, and the page makes an anchor of some (R07, R10). */

export interface Piece {
  text: string;
  /** Where it leads: http, https, mailto or tel, and nothing else. */
  href?: string;
  /** Where it really leads, where the text alone would mislead: letters that look like others, or a name before an `@`. */
  real?: string;
}

/** Signs that turn or hide text; an address has none of them. */
const HIDDEN = '\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0';
const STOPS = `\\s\\p{Cc}<>"'\`{}|\\\\^「」『』《》«»“”„‘’${HIDDEN}`;
const CANDIDATE = new RegExp(
  [
    `\\bhttps?://[^${STOPS}]{1,2000}`,
    `\\bwww\\.[^${STOPS}]{1,2000}`,
    `\\b(?:mailto:)?[\\p{L}\\p{N}][\\p{L}\\p{N}._%+-]{0,63}@[\\p{L}\\p{N}](?:[\\p{L}\\p{N}-]{0,62}\\.){1,8}[\\p{L}]{2,24}`,
    `\\btel:\\+?[\\d().\\- ]{3,30}\\d`,
  ].join('|'),
  'giu',
);

/** Where it may lead; null where it may not. */
export function safeHref(wanted: string): string | null {
  // What a browser drops while it reads an address could hide the scheme.
  if (new RegExp(`[\\p{Cc}${HIDDEN}]`, 'u').test(wanted)) return null;
  let url: URL;
  try {
    url = new URL(wanted);
  } catch {
    return null;
  }
  if (url.protocol === 'http:' || url.protocol === 'https:') return url.hostname ? url.href : null;
  if (url.protocol === 'mailto:') return /^[^?\s]+@[^?\s]+$/.test(url.pathname) ? url.href : null;
  if (url.protocol === 'tel:') {
    const number = decodeURI(url.pathname);
    return /^\+?[\d().\- ]+$/.test(number) && /\d/.test(number) ? `tel:${number.replace(/[^\d+]/g, '')}` : null;
  }
  return null;
}

/** The host that an address really leads to, where what is shown could be taken for another one. */
export function realHost(shown: string, href: string): string | undefined {
  const url = new URL(href);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    if (url.protocol !== 'mailto:' || /^[\x20-\x7e]*$/.test(shown)) return undefined;
    return decodeURIComponent(url.pathname);
  }
  if (url.username || url.password || url.hostname.includes('xn--')) return url.host;
  // A host that a text names must be the one it leads to.
  const named = /^(?:https?:\/\/)?((?:[\p{L}\p{N}-]+\.)+\p{L}{2,})/iu.exec(shown.trim())?.[1];
  if (named && named.toLowerCase().replace(/^www\./, '') !== url.hostname.replace(/^www\./, '')) return url.host;
  return undefined;
}

/** An address ends before the punctuation of the sentence, and keeps brackets that it opened itself. */
function trimmed(found: string): string {
  let end = found.length;
  for (;;) {
    const last = found[end - 1] ?? '';
    if (/[.,:;!?…]/.test(last)) end -= 1;
    else if (last === ')' || last === ']') {
      const open = last === ')' ? '(' : '[';
      const body = found.slice(0, end);
      if (body.split(open).length >= body.split(last).length) return body;
      end -= 1;
    } else return found.slice(0, end);
  }
}

/** Cuts a text at its links. The pieces together are the text. */
export function linkify(text: string): Piece[] {
  const pieces: Piece[] = [];
  let rest = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    const shown = trimmed(match[0]);
    const from = match.index;
    if (from < rest) continue;
    const lower = shown.toLowerCase();
    let wanted = shown;
    if (lower.startsWith('www.')) wanted = `https://${shown}`;
    else if (!/^(https?|mailto|tel):/.test(lower)) wanted = `mailto:${shown}`;
    const href = safeHref(wanted);
    if (!href) continue;
    // A name in the middle of another address is no link of its own.
    if (from > 0 && /[\w@/:]/.test(text[from - 1] ?? '')) continue;
    if (from > rest) pieces.push({ text: text.slice(rest, from) });
    const real = realHost(shown, href);
    pieces.push({ text: shown, href, ...(real && { real }) });
    rest = from + shown.length;
  }
  if (rest < text.length) pieces.push({ text: text.slice(rest) });
  return pieces;
}
