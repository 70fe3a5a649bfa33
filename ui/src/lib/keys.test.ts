import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { isTyping, keyWords, nameOf, press, shortcut } from './keys.svelte';

let off: (() => void)[] = [];
afterEach(() => {
  off.forEach((one) => one());
  off = [];
  document.body.replaceChildren();
});

function on(keys: string | string[], more: Partial<Parameters<typeof shortcut>[0]> = {}) {
  const done = vi.fn();
  off.push(shortcut({ keys, label: () => '', do: done, ...more }));
  return done;
}

/** Presses a key on an element, without the listener of the document: the event says whether somebody wanted it. */
function type(key: string, more: KeyboardEventInit & { target?: Element; at?: number } = {}): boolean {
  const event = new KeyboardEvent('keydown', { key, cancelable: true, ...more });
  Object.defineProperty(event, 'target', { value: more.target ?? document.body });
  if (more.at !== undefined) Object.defineProperty(event, 'timeStamp', { value: more.at });
  return press(event);
}

function put(html: string): HTMLElement {
  const made = document.createElement(html);
  document.body.append(made);
  return made;
}

describe('press', () => {
  beforeEach(() => void type('Escape', { at: -10_000 }));

  it('does what the key is for, and keeps the browser from doing its own', () => {
    const done = on(['j', 'ArrowDown']);
    expect(type('j')).toBe(true);
    expect(type('ArrowDown')).toBe(true);
    expect(type('k')).toBe(false);
    expect(done).toHaveBeenCalledTimes(2);
  });

  it('never while somebody types', () => {
    const done = on('r');
    const input = put('input');
    const area = put('textarea');
    const box = put('input') as HTMLInputElement;
    box.type = 'checkbox';
    expect(type('r', { target: input })).toBe(false);
    expect(type('r', { target: area })).toBe(false);
    expect(done).not.toHaveBeenCalled();
    expect(type('r', { target: box })).toBe(true);
  });

  it('also while somebody types, where it is said to', () => {
    const done = on('mod+Enter', { inFields: true });
    expect(type('Enter', { target: put('textarea'), ctrlKey: true })).toBe(true);
    expect(done).toHaveBeenCalledOnce();
  });

  it('leaves the browser its own: Alt, and Ctrl with a plain key', () => {
    on('d');
    expect(type('d', { altKey: true })).toBe(false);
    expect(type('d', { ctrlKey: true })).toBe(false);
    expect(type('d', { metaKey: true })).toBe(false);
  });

  it('not while a dialog or a menu is open', () => {
    const done = on('e');
    const dialog = put('div');
    dialog.setAttribute('aria-modal', 'true');
    expect(type('e')).toBe(false);
    dialog.setAttribute('aria-modal', 'false');
    expect(type('e')).toBe(true);
    put('div').setAttribute('role', 'menu');
    expect(type('e')).toBe(false);
    expect(done).toHaveBeenCalledOnce();
  });

  it('asks for the highest, then for the one that came last', () => {
    const first = on('e');
    const second = on('e');
    const high = on('e', { priority: 10, when: () => !first.mock.calls.length && mayBeHigh });
    let mayBeHigh = true;
    type('e');
    expect(high).toHaveBeenCalledOnce();
    mayBeHigh = false;
    type('e');
    expect([first, second].map((one) => one.mock.calls.length)).toEqual([0, 1]);
  });

  it('takes two keys one after the other, and the second alone as another', () => {
    const both = on('g u');
    const alone = on('u');
    type('g', { at: 100 });
    type('u', { at: 400 });
    expect([both, alone].map((one) => one.mock.calls.length)).toEqual([1, 0]);
    type('u', { at: 500 });
    type('g', { at: 1_000 });
    type('u', { at: 4_000 });
    expect([both, alone].map((one) => one.mock.calls.length)).toEqual([1, 2]);
  });

  it('does nothing more once it was taken away', () => {
    const done = on('x');
    off.forEach((one) => one());
    expect(type('x')).toBe(false);
    expect(done).not.toHaveBeenCalled();
  });
});

it('names keys alike on every keyboard', () => {
  const of = (key: string, more = {}) => nameOf({ key, ctrlKey: false, metaKey: false, shiftKey: false, ...more });
  expect(of('?', { shiftKey: true })).toBe('?');
  expect(of('/', { shiftKey: true })).toBe('/');
  expect(of('X', { shiftKey: true })).toBe('shift+x');
  expect(of('ArrowDown', { shiftKey: true })).toBe('shift+ArrowDown');
  expect(of('k', { metaKey: true })).toBe('mod+k');
});

it('knows what text is typed into', () => {
  expect(isTyping(document.createElement('select'))).toBe(true);
  expect(isTyping(document.createElement('button'))).toBe(false);
  expect(isTyping(null)).toBe(false);
});

it('writes keys as they stand on the keyboard', () => {
  expect(keyWords('g u')).toEqual(['G', 'U']);
  expect(keyWords('shift+x')).toEqual(['Shift', 'X']);
  expect(keyWords('/')).toEqual(['/']);
  expect(keyWords('ArrowDown')).toEqual(['↓']);
});
