import { describe, expect, it } from 'vitest';

import { found, type SavedReply } from './replies.svelte';
import { lookingFor } from './suggest';

const at = (text: string, note = false) => {
  const cursor = text.indexOf('|');
  return lookingFor(text.replace('|', ''), cursor, note);
};

describe('what is looked for', () => {
  it.each([
    ['/|', { what: 'reply', search: '', from: 0 }],
    ['/ship|', { what: 'reply', search: 'ship', from: 0 }],
    ['Hello\n/sh|', { what: 'reply', search: 'sh', from: 6 }],
    ['/where is| it', { what: 'reply', search: 'where is', from: 0 }],
    ['10/12|', null],
    ['see /etc|', null],
    ['/etc/passwd|', null],
    ['/ |', null],
    ['a|', null],
    [`${'x'.repeat(80)}/|`, null],
  ])('in a reply: %s', (text, wanted) => expect(at(text)).toEqual(wanted));

  it.each([
    ['@|', { what: 'person', search: '', from: 0 }],
    ['Hi @pe|', { what: 'person', search: 'pe', from: 3 }],
    ['(@Ána K|', { what: 'person', search: 'Ána K', from: 1 }],
    ['a@b|', null],
    ['/x|', null],
  ])('in a note: %s', (text, wanted) => expect(at(text, true)).toEqual(wanted));
});

describe('saved replies', () => {
  const reply = (shortcut: string, title: string, text = '', channels: string[] | null = null): SavedReply => ({ id: shortcut, shortcut, title, text, channels });
  const all = [reply('vratenie', 'Vrátenie tovaru'), reply('ship', 'Shipping times', 'two days'), reply('shop', 'Opening hours'), reply('fb', 'Only there', '', ['shop-page'])];
  it('are found by shortcut, title and text, folded', () => {
    expect(found(all, 'sh', 'website').map((one) => one.shortcut)).toEqual(['ship', 'shop']);
    expect(found(all, 'shop', 'website')[0]?.shortcut).toBe('shop');
    expect(found(all, 'vratenie', 'website')[0]?.shortcut).toBe('vratenie');
    expect(found(all, 'Vrátenie', 'website')[0]?.shortcut).toBe('vratenie');
    expect(found(all, 'two days', 'website')[0]?.shortcut).toBe('ship');
    expect(found(all, 'nothing', 'website')).toEqual([]);
  });
  it('are of the channel', () => {
    expect(found(all, '', 'website')).toHaveLength(3);
    expect(found(all, '', 'shop-page')).toHaveLength(4);
  });
});
