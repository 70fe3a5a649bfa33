import { describe, expect, it } from 'vitest';

import { decoded, parseMail, safePicture, wordsOf, type MailElement, type MailNode } from './mailhtml';

/** Builds the elements as the page does: by name, with the attributes that the tree has, and texts as texts. */
function build(nodes: readonly MailNode[], into: Element): void {
  for (const node of nodes) {
    if (typeof node === 'string') {
      into.append(document.createTextNode(node));
      continue;
    }
    const element = document.createElement(node.tag);
    for (const [name, value] of Object.entries(node) as [string, unknown][]) {
      if (name !== 'tag' && name !== 'children' && name !== 'real') element.setAttribute(name, String(value));
    }
    build(node.children, element);
    into.append(element);
  }
}
function shown(html: string): Element {
  const box = document.createElement('div');
  const mail = parseMail(html);
  if (mail) build(mail.nodes, box);
  return box;
}
const text = (html: string) => (parseMail(html)?.nodes ?? []).map(wordsOf).join('');
const first = (html: string) => parseMail(html)?.nodes[0] as MailElement;

describe('a mail', () => {
  it.each([
    ['<p>Dobrý deň,<br>ďakujem &amp; pekný deň &#128522;</p>', '<p>Dobrý deň,<br>ďakujem &amp; pekný deň 😊</p>'],
    ['<ul><li>a<li>b</ul>', '<ul><li>a</li><li>b</li></ul>'],
    ['<table><tr><td>a<td>b<tr><td>c</table>', '<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>'],
    ['<article><section>a</section></article>b', 'ab'],
    ['<a href="https://butik.example/x">order</a>', '<a href="https://butik.example/x">order</a>'],
    ['<a href="javascript:alert(1)">x</a>', 'x'],
    ['a < b and 2<3', 'a &lt; b and 2&lt;3'],
    ['<b>bold</i> on</b> off', '<b>bold on</b> off'],
    ['<td colspan="2" rowspan=9999 style="position:fixed">a</td>', '<td colspan="2" rowspan="50">a</td>'],
    ['<p>a<style>p{color:red}</style><script>alert("</p>")</script>b</p>', '<p>ab</p>'],
    ['<svg><p>a</p><svg></svg><script>x</script></svg>b', 'b'],
    ['<!-- <img src=x> -->a<!doctype html><?xml ?>b', 'ab'],
    ['<div><div></div><span> </span>x</div>', '<div> x</div>'],
  ])('%s', (html, wanted) => {
    const got = shown(html).innerHTML.replace(/<span>x<\/span>/, 'x');
    expect(got).toBe(wanted);
  });

  it('counts the pictures from elsewhere, and loads none', () => {
    const mail = parseMail('<img src="https://spy.example/a.png" alt="Sale"><img data-src="https://spy.example/b.png"><img src="//spy.example/1.gif" width=1 height=1><img src="/api/v1/attachments/att_1ABC" alt="x">');
    expect(mail?.blocked).toBe(2);
    expect(shown('<img src="https://spy.example/a.png" alt="Sale">').innerHTML).toBe('[Sale]');
    expect(shown('<img src="/api/v1/attachments/att_1ABC">').innerHTML).toContain('/api/v1/attachments/att_1ABC');
  });

  it.each(['/api/v1/attachments/att_1/../../me', '/api/v1/tokens', 'data:image/svg+xml;base64,AAAA', 'data:text/html,x', 'blob:x', '//a.example/x', 'javascript:1'])('is no picture: %s', (src) => expect(safePicture(src)).toBeNull());

  it('says where a link leads, where its words name another place', () => {
    expect(first('<a href="https://evil.example/">https://bank.example/login</a>').real).toBe('evil.example');
    expect(first('<a href="https://evil.example/">www.bank.example</a>').real).toBe('evil.example');
    expect(first('<a href="https://www.bank.example/x">bank.example</a>').real).toBeUndefined();
    expect(first('<a href="https://bank.example/x">click here</a>').real).toBeUndefined();
    expect(first('<a href="https://bank.example@evil.example/">here</a>').real).toBe('evil.example');
  });

  it('decodes what it knows and leaves the rest', () => {
    expect(decoded('&lt;&nbsp;&euro;&#65;&#x42;&unknown;&#xD800;&#0;&amp;lt;')).toBe('<\u00a0€AB&unknown;\ufffd\ufffd&lt;');
  });

  it('r04_takes_large_and_deep_ones_in_good_time', () => {
    const began = performance.now();
    expect(parseMail('x'.repeat(600_000))).toBeNull();
    expect(parseMail('<b>'.repeat(50_000))).toBeNull();
    expect(text(`${'<div>'.repeat(3_000)}deep`)).toBe('deep');
    for (const bomb of ['<'.repeat(500_000), '<a '.repeat(150_000), '<svg>'.repeat(100_000), '<script>'.repeat(50_000), `<p ${'a="'.repeat(150_000)}`, '<!--'.repeat(100_000), '&'.repeat(500_000), '</p>'.repeat(120_000), '<li>'.repeat(120_000)]) parseMail(bomb);
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});

const EVENTS = ['onerror', 'onload', 'onclick', 'onfocus', 'onmouseover', 'onanimationstart', 'ontoggle', 'onpointerenter', 'onbegin', 'onbeforeinput'];
const PAYLOADS = [
  ...EVENTS.flatMap((event) => [`<img src=x ${event}=alert(1)>`, `<p ${event}="alert(1)">x</p>`, `<svg/${event}=alert(1)>`, `<details open ${event}=alert(1)>x`, `<a href="https://a.example" ${event}=alert(1)>x</a>`, `<table background="x" ${event}='alert(1)'><tr><td>x`]),
  '<script>alert(1)</script>', '<scr<script>ipt>alert(1)</scr</script>ipt>', '<script src=//evil.example></script>', '<iframe src="javascript:alert(1)">', '<iframe srcdoc="<script>alert(1)</script>">',
  '<object data="javascript:alert(1)">', '<embed src="javascript:alert(1)">', '<base href="https://evil.example/">', '<meta http-equiv="refresh" content="0;url=javascript:alert(1)">',
  '<link rel=stylesheet href=//evil.example>', '<form action="javascript:alert(1)"><button>x</button></form>', '<input autofocus onfocus=alert(1)>', '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
  '<svg><style><img src=x onerror=alert(1)></style>', '<noscript><p title="</noscript><img src=x onerror=alert(1)>">', '<a href="java&#x09;script:alert(1)">x</a>', '<a href="&#106;avascript:alert(1)">x</a>',
  '<a href=" javascript:alert(1)">x</a>', '<a href="data:text/html,<script>alert(1)</script>">x</a>', '<a href="vbscript:x">x</a>', '<div style="background:url(javascript:alert(1))">x</div>', '<p style="position:fixed;inset:0">x</p>',
  '<template><script>alert(1)</script></template>', '<xmp><img src=x onerror=alert(1)></xmp>', '<plaintext><img src=x onerror=alert(1)>', '<title><img src=x onerror=alert(1)></title>', '<textarea></textarea><img src=x onerror=alert(1)>',
  '<img src="x` `<script>alert(1)</script>"` `>', '<<script>alert(1)//<</script>', '<img """><script>alert(1)</script>">', '<a id="x"></a><a id="x" name="y">', '<form><math><mtext></form><form><mglyph><svg><mtext><style><path id="</style><img onerror=alert(1) src>">',
  '<div id="app">x</div>', '<p class="fixed inset-0">x</p>', '<a target="_self" href="https://a.example" ping="//spy.example">x</a>', '<q cite="javascript:alert(1)">x</q>', '<blockquote cite="//spy.example">x</blockquote>', '<video src=//spy.example autoplay poster=//spy.example></video>',
  '<picture><source srcset="//spy.example"><img srcset="//spy.example 1x"></picture>', '<input type=image src=//spy.example>', '<table background="//spy.example"><td>x', '<body background="//spy.example" onload=alert(1)>x', '<bgsound src=//spy.example>', '<marquee onstart=alert(1)>x</marquee>', '<keygen autofocus onfocus=alert(1)>',
];
const ATTRIBUTES = new Set(['href', 'src', 'alt', 'title', 'dir', 'colspan', 'rowspan', 'width', 'height', 'start']);

describe('r01_r03_only_what_is_on_the_list_is_shown', () => {
  it.each(PAYLOADS)('%s', (payload) => {
    for (const html of [payload, `<p>${payload}</p>`, `<table><tr><td>${payload}`, payload.toUpperCase(), `<div title="${payload}">x</div>`, `<!-- ${payload} -->${payload}`]) {
      for (const element of shown(html).querySelectorAll('*')) {
        expect(['SCRIPT', 'STYLE', 'IFRAME', 'OBJECT', 'EMBED', 'SVG', 'MATH', 'FORM', 'INPUT', 'BASE', 'META', 'LINK', 'TEMPLATE', 'VIDEO', 'AUDIO', 'BODY', 'HTML']).not.toContain(element.tagName.toUpperCase());
        for (const { name, value } of element.attributes) {
          expect(ATTRIBUTES.has(name)).toBe(true);
          if (name === 'href') expect(value).toMatch(/^(https?:\/\/|mailto:|tel:)/);
          if (name === 'src') expect(safePicture(value)).not.toBeNull();
        }
      }
    }
  });

  it('r12_names_of_javascript_are_no_elements', () => {
    expect(shown('<constructor x>b</constructor><hasOwnProperty>a</hasOwnProperty><p __proto__=1 constructor=2>c</p>').innerHTML).toBe('ba<p>c</p>');
  });
});
