import { safeHref } from './linkify';

/**
 * HTML of a mail as a tree of what may be shown, built here from its signs. Nothing of it ever becomes markup again: the
 * page makes elements from this tree by name, from a short list, and texts as texts. The daemon has cleaned it before;
 * this is the second wall and does not count on the first (R01, R03, R06).
 */
export interface MailElement {
  tag: string;
  href?: string;
  /** Where a link really leads, where its words name another place. */
  real?: string;
  src?: string;
  alt?: string;
  title?: string;
  dir?: 'ltr' | 'rtl' | 'auto';
  colspan?: number;
  rowspan?: number;
  width?: number;
  height?: number;
  start?: number;
  children: MailNode[];
}
export type MailNode = string | MailElement;

export interface Mail {
  nodes: MailNode[];
  /** Pictures from elsewhere, which are not loaded. */
  blocked: number;
}

const SHOWN = new Set(
  ('a abbr address b big blockquote br caption center cite code col colgroup dd del dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strike ' +
    'strong sub sup table tbody td tfoot th thead time tr tt u ul var').split(' '),
);
/** What is in these is no text. */
const DROPPED = new Set('script style head title template svg math iframe object embed applet noscript noembed noframes select textarea xmp plaintext audio video canvas frameset datalist'.split(' '));
/** In these an end is looked for by its name only: whatever looks like a tag is none. */
const RAW = new Set('script style title textarea xmp iframe noembed noframes noscript plaintext'.split(' '));
const VOID = new Set('br hr img col area base input link meta param source track wbr embed'.split(' '));
/** A new one ends an open one of the same kind, as people leave out the end. */
const CLOSES = new Map<string, readonly string[]>([
  ['li', ['li']], ['dt', ['dt', 'dd']], ['dd', ['dt', 'dd']], ['tr', ['tr', 'td', 'th']], ['td', ['td', 'th']], ['th', ['td', 'th']],
]);
const LISTS = new Set(['ul', 'ol', 'dl', 'table']);

const MOST_CHARS = 512 * 1024;
const MOST_NODES = 8_000;
const MOST_DEPTH = 64;

const ENTITIES = new Map<string, string>(
  Object.entries({
    amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', shy: '\u00ad', copy: '©', reg: '®', trade: '™', hellip: '…', mdash: '—', ndash: '–',
    lsquo: '‘', rsquo: '’', ldquo: '“', rdquo: '”', sbquo: '‚', bdquo: '„', laquo: '«', raquo: '»', bull: '•', middot: '·', euro: '€', pound: '£', yen: '¥',
    deg: '°', plusmn: '±', times: '×', sect: '§', para: '¶', zwnj: '\u200c', zwj: '\u200d', ensp: '\u2002', emsp: '\u2003', thinsp: '\u2009',
  }),
);

/** Entities as signs; what is not known stays as it is. */
export const decoded = (text: string): string =>
  text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]{2,8}));/g, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name) return ENTITIES.get(name) ?? whole;
    const code = decimal ? Number(decimal) : Number.parseInt(hex ?? '', 16);
    if (!(code >= 9 && code <= 0x10ffff) || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
    return String.fromCodePoint(code);
  });

/** Reads the attributes that stand from `at`; where the tag ends. */
function attributes(html: string, at: number): { found: Map<string, string>; end: number; selfClosed: boolean } {
  const found = new Map<string, string>();
  let selfClosed = false;
  while (at < html.length) {
    const sign = html[at];
    if (sign === '>') return { found, end: at + 1, selfClosed };
    if (sign === '/' || sign === ' ' || sign === '\n' || sign === '\t' || sign === '\r' || sign === '\f') {
      selfClosed = sign === '/';
      at += 1;
      continue;
    }
    selfClosed = false;
    const from = at;
    while (at < html.length && !/[\s/>=]/.test(html[at] ?? '')) at += 1;
    if (at === from) at += 1;
    const name = html.slice(from, at).toLowerCase();
    while (/\s/.test(html[at] ?? '')) at += 1;
    let value = '';
    if (html[at] === '=') {
      at += 1;
      while (/\s/.test(html[at] ?? '')) at += 1;
      const quote = html[at];
      if (quote === '"' || quote === "'") {
        const end = html.indexOf(quote, at + 1);
        value = html.slice(at + 1, end < 0 ? html.length : end);
        at = end < 0 ? html.length : end + 1;
      } else {
        const start = at;
        while (at < html.length && !/[\s>]/.test(html[at] ?? '')) at += 1;
        value = html.slice(start, at);
      }
    }
    if (name && !found.has(name)) found.set(name, decoded(value));
  }
  return { found, end: html.length, selfClosed };
}

const number = (text: string | undefined, most: number): number | undefined => {
  const value = /^\s*(\d{1,4})(?:px)?\s*$/.exec(text ?? '')?.[1];
  return value === undefined ? undefined : Math.min(most, Math.max(1, Number(value)));
};

/** A picture that this desk serves, or that is in the mail itself. */
export function safePicture(src: string): string | null {
  if (/^\/api\/v1\/attachments\/att_\w{1,40}$/.test(src)) return src;
  if (/^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]{1,400000}$/.test(src)) return src;
  return null;
}

/** The tree of a mail; null where it is too large to be worth one, and its text is shown. */
export function parseMail(html: string): Mail | null {
  if (html.length > MOST_CHARS) return null;
  const root: MailElement = { tag: '', children: [] };
  /** What is open, with `tag` as it was named; an element that is not shown gives its children to the one above. */
  const open: { name: string; into: MailElement }[] = [{ name: '', into: root }];
  let nodes = 0;
  let blocked = 0;
  let at = 0;

  const into = () => (open.at(-1) as { into: MailElement }).into;
  const say = (text: string) => {
    if (!text) return;
    const children = into().children;
    const last = children.length - 1;
    if (typeof children[last] === 'string') children[last] += text;
    else {
      children.push(text);
      nodes += 1;
    }
  };

  while (at < html.length) {
    if (nodes > MOST_NODES) return null;
    const less = html.indexOf('<', at);
    if (less < 0) {
      say(decoded(html.slice(at)));
      break;
    }
    if (less > at) say(decoded(html.slice(at, less)));
    at = less;
    if (html.startsWith('<!--', at)) {
      const end = html.indexOf('-->', at + 4);
      at = end < 0 ? html.length : end + 3;
      continue;
    }
    if (html[at + 1] === '!' || html[at + 1] === '?') {
      const end = html.indexOf('>', at);
      at = end < 0 ? html.length : end + 1;
      continue;
    }
    const named = /^<(\/?)([a-zA-Z][^\s/>]{0,40})/.exec(html.slice(at, at + 44));
    if (!named) {
      say('<');
      at += 1;
      continue;
    }
    const name = (named[2] ?? '').toLowerCase();
    const { found, end, selfClosed } = attributes(html, at + named[0].length);
    at = end;

    if (named[1]) {
      const place = open.findLastIndex((one) => one.name === name);
      if (place > 0) open.length = place;
      continue;
    }
    if (DROPPED.has(name)) {
      if (VOID.has(name) || selfClosed) continue;
      at = behind(html, at, name);
      continue;
    }
    const closes = CLOSES.get(name);
    if (closes) {
      for (let place = open.length - 1; place > 0; place -= 1) {
        const other = open[place]?.name ?? '';
        if (LISTS.has(other)) break;
        if (closes.includes(other)) {
          open.length = place;
          if (name !== 'tr') break;
        }
      }
    }
    if (!SHOWN.has(name)) {
      // A line of its own stays one.
      if (!VOID.has(name) && open.length < MOST_DEPTH) open.push({ name, into: into() });
      continue;
    }
    const element: MailElement = { tag: name, children: [] };
    const dir = found.get('dir')?.toLowerCase();
    if (dir === 'ltr' || dir === 'rtl' || dir === 'auto') element.dir = dir;
    if (name === 'a') {
      const href = safeHref(found.get('href')?.trim() ?? '');
      if (href) element.href = href;
      else element.tag = 'span';
    } else if (name === 'img') {
      const src = safePicture(found.get('src') ?? '');
      const width = number(found.get('width'), 2000);
      const height = number(found.get('height'), 2000);
      if (src) {
        element.src = src;
        if (width) element.width = width;
        if (height) element.height = height;
        element.alt = found.get('alt') ?? '';
      } else {
        // A spy is one sign wide, and nobody misses it.
        if (width !== undefined && width <= 2 && (height ?? 0) <= 2) continue;
        const elsewhere = [...found.values()].some((value) => /^\s*(https?:)?\/\//i.test(value));
        if (elsewhere) blocked += 1;
        const alt = found.get('alt')?.trim();
        if (alt) say(`[${alt}]`);
        continue;
      }
    } else if (name === 'td' || name === 'th') {
      const colspan = number(found.get('colspan'), 50);
      const rowspan = number(found.get('rowspan'), 50);
      if (colspan) element.colspan = colspan;
      if (rowspan) element.rowspan = rowspan;
    } else if (name === 'ol') {
      const start = number(found.get('start'), 9999);
      if (start) element.start = start;
    }
    nodes += 1;
    into().children.push(element);
    // What is nested deeper than anybody means stands flat.
    if (!VOID.has(name) && open.length < MOST_DEPTH) open.push({ name, into: element });
  }
  if (nodes > MOST_NODES) return null;
  return { nodes: tidied(root.children), blocked };
}

/** Where what follows an element that is dropped with all that is in it begins. */
function behind(html: string, at: number, name: string): number {
  const close = new RegExp(`</${name}(?=[\\s/>])`, 'giu');
  if (RAW.has(name)) {
    close.lastIndex = at;
    const end = close.exec(html);
    if (!end) return html.length;
    const to = html.indexOf('>', end.index);
    return to < 0 ? html.length : to + 1;
  }
  const both = new RegExp(`<(/?)${name}(?=[\\s/>])`, 'giu');
  both.lastIndex = at;
  let depth = 1;
  for (let found = both.exec(html); found; found = both.exec(html)) {
    depth += found[1] ? -1 : 1;
    if (depth === 0) {
      const to = html.indexOf('>', found.index);
      return to < 0 ? html.length : to + 1;
    }
  }
  return html.length;
}

const EMPTY_OUT = new Set(['span', 'div', 'p', 'b', 'i', 'strong', 'em', 'center', 'td', 'tr', 'table', 'tbody', 'small', 'u']);

/** Takes out what shows nothing, and says where links really lead. */
function tidied(nodes: readonly MailNode[]): MailNode[] {
  const kept: MailNode[] = [];
  for (const node of nodes) {
    if (typeof node === 'string') {
      kept.push(node);
      continue;
    }
    node.children = tidied(node.children);
    if (EMPTY_OUT.has(node.tag) && node.tag !== 'td' && node.tag !== 'p' && node.children.every((child) => typeof child === 'string' && !child.trim())) {
      if (node.children.length) kept.push(' ');
      continue;
    }
    if (node.href) {
      const words = wordsOf(node).trim();
      const named = /^(?:https?:\/\/)?((?:[\p{L}\p{N}-]+\.)+\p{L}{2,})/iu.exec(words)?.[1];
      const url = new URL(node.href);
      const host = url.hostname.replace(/^www\./, '');
      if (url.username || host.includes('xn--') || (named && /^https?:$/.test(url.protocol) && named.toLowerCase().replace(/^www\./, '') !== host && !words.includes('@'))) node.real = url.host;
    }
    kept.push(node);
  }
  return kept;
}

/** The words of a tree. */
export function wordsOf(node: MailNode): string {
  return typeof node === 'string' ? node : node.children.map(wordsOf).join('');
}
