import { describe, expect, it } from 'vitest';

import { linkify, safeHref } from './linkify';

const links = (text: string) => linkify(text).filter((piece) => piece.href);
const href = (text: string) => links(text).map((piece) => piece.href);

describe('what is a link', () => {
  it.each([
    ['See https://butik.example/order/4711.', ['https://butik.example/order/4711']],
    ['(https://butik.example/a)', ['https://butik.example/a']],
    ['https://en.example/wiki/Dress_(garment), yes', ['https://en.example/wiki/Dress_(garment)']],
    ['www.butik.example!', ['https://www.butik.example/']],
    ['HTTPS://BUTIK.EXAMPLE/A?b=c&d=e#f', ['https://butik.example/A?b=c&d=e#f']],
    ['ewa@poczta.example, please', ['mailto:ewa@poczta.example']],
    ['mailto:ewa@poczta.example', ['mailto:ewa@poczta.example']],
    ['tel:+421 900 123 456', ['tel:+421900123456']],
    ['http://a.example http://b.example', ['http://a.example/', 'http://b.example/']],
    ['http://[2001:db8::1]/x', ['http://[2001:db8::1]/x']],
    ['no link here: butik.sk, 10:03, a@b', []],
    ['«https://butik.example»', ['https://butik.example/']],
    ['ďakujem https://butik.example/šaty', ['https://butik.example/%C5%A1aty']],
  ])('%s', (text, wanted) => expect(href(text)).toEqual(wanted));

  it('loses no sign of the text', () => {
    for (const text of ['', 'a', 'x https://a.example. y', 'https://a.example', '\n\nwww.a.example\n', 'a@b.example b@c.example']) {
      expect(linkify(text).map((piece) => piece.text).join('')).toBe(text);
    }
  });

  it('takes long texts in good time', () => {
    const began = performance.now();
    for (const text of ['a'.repeat(200_000), 'a@'.repeat(50_000), 'www.'.repeat(50_000), 'http://'.repeat(30_000), `${'a.'.repeat(50_000)}@`, `tel:${'1 '.repeat(50_000)}`, '('.repeat(100_000)]) linkify(text);
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

/** Schemes that run, read files or leave the browser, in many disguises. */
const SCHEMES = [
  'javascript', 'JavaScript', 'jAvAsCrIpT', 'java\tscript', 'java\nscript', 'java\r\nscript', '\u0001javascript', ' javascript', 'java\u00adscript',
  'java\u200bscript', 'java\u0000script', 'vbscript', 'data', 'DATA', 'file', 'blob', 'filesystem', 'about', 'view-source', 'ftp', 'sftp', 'ssh', 'smb',
  'intent', 'ms-msdt', 'search-ms', 'ms-word', 'steam', 'slack', 'tg', 'whatsapp', 'skype', 'sms', 'market', 'chrome', 'chrome-extension', 'moz-extension',
  'resource', 'jar', 'feed', 'wyciwyg', 'livescript', 'mocha', 'x-javascript', 'ws', 'wss', 'urn', 'magnet', 'bitcoin', 'geo', 'cid', 'mid', 'ldap',
];
const BODIES = [':alert(1)', '://%0aalert(1)', ':text/html,<script>alert(1)</script>', '://a.example/%0dalert(1)', ':text/html;base64,PHNjcmlwdD4='];

describe('r07_links_lead_only_where_they_may', () => {
  const payloads = SCHEMES.flatMap((scheme) => BODIES.map((body) => scheme + body));

  it('has more than 250 payloads', () => expect(payloads.length).toBeGreaterThan(250));

  it.each(payloads)('never %j', (payload) => {
    expect(safeHref(payload)).toBeNull();
    for (const text of [payload, `see ${payload} now`, `<a href="${payload}">x</a>`, `[x](${payload})`, `https://a.example/${payload}`]) {
      for (const piece of links(text)) {
        expect(piece.href).toMatch(/^(https?:\/\/|mailto:[^?]+@|tel:)/);
        expect(new URL(piece.href ?? '').protocol).toMatch(/^(https?|mailto|tel):$/);
      }
    }
  });

  it.each([
    ['https://butik.example@evil.example/', 'evil.example'],
    ['https://butik.example:pass@evil.example:8080/', 'evil.example:8080'],
    ['https://аpple.com/', 'xn--pple-43d.com'],
    ['https://раураӏ.com', 'xn--80aa0cbo65f.com'],
    ['https://gооgle.com', 'xn--ggle-55da.com'],
    ['https://bücher.example', 'xn--bcher-kva.example'],
    ['https://ⅿicrosoft.com', 'microsoft.com'],
    ['https://xn--pple-43d.com/', 'xn--pple-43d.com'],
    ['https://faceboоk.com/login', 'xn--facebok-fjg.com'],
    ['www.gооgle.com', 'www.xn--ggle-55da.com'],
    ['https://раypal.com', 'xn--ypal-43d9g.com'],
    ['https://ebаy.com', 'xn--eby-7cd.com'],
  ])('%s shows where it really leads', (text, host) => {
    const [link] = links(text);
    expect(link?.real).toBe(host);
  });

  it.each(['https://butik.example/', 'https://www.butik.example', 'http://127.0.0.1:8080/x', 'ewa@poczta.example'])('%s needs no more words', (text) => {
    expect(links(text)[0]?.real).toBeUndefined();
  });

  it.each(['\u202e', '\u2066', '\u200b', '\u00ad', '\u2028'])('an address ends before a sign that hides or turns: %j', (sign) => {
    expect(href(`https://a.example/x${sign}gpj.exe`)).toEqual(['https://a.example/x']);
    expect(safeHref(`https://a.example/x${sign}gpj.exe`)).toBeNull();
  });

  it.each(['mailto:a@b.example?bcc=spy@evil.example&body=x', 'mailto:?to=a@b.example', 'mailto:', 'tel:', 'tel:alert(1)', 'tel:*06#', 'http://', 'https:///', 'https://a b/'])('%s is not as it seems', (text) => {
    const safe = safeHref(text);
    if (safe?.startsWith('mailto:')) expect(new URL(safe).pathname).toContain('@');
    if (text === 'mailto:' || text === 'tel:' || text === 'http://' || text.includes('alert') || text.includes('*') || text.includes(' ') || text.startsWith('mailto:?')) expect(safe).toBeNull();
  });
});
