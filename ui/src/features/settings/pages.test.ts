import { describe, expect, it } from 'vitest';

import { pageFor, PAGES, pagesFor, type Right } from './pages';

const rank: Record<string, number> = { read: 1, write: 2, admin: 3 };
const as = (role: Right) => (right: Right) => (rank[role] ?? 0) >= (rank[right] ?? 9);
const ids = (role: Right) => pagesFor(as(role)).map((page) => page.id);

describe('the pages of the settings', () => {
  it('are all there for an administrator', () => {
    expect(ids('admin')).toEqual(PAGES.map((page) => page.id));
  });

  it('leave an agent what is theirs', () => {
    expect(ids('write')).toEqual(PAGES.filter((page) => page.right !== 'admin').map((page) => page.id));
  });

  it('leave a viewer what is theirs', () => {
    expect(ids('read')).toEqual(PAGES.filter((page) => page.right === 'read').map((page) => page.id));
  });

  it('are none without any right', () => {
    expect(pagesFor(() => false)).toEqual([]);
  });

  it('cannot be reached by their address either', () => {
    for (const page of PAGES.filter((one) => one.right === 'admin')) {
      expect(pageFor(page.id, as('write')), page.id).toBeUndefined();
      expect(pageFor(page.id, as('read')), page.id).toBeUndefined();
      expect(pageFor(page.id, as('admin'))?.id).toBe(page.id);
    }
    expect(pageFor('constructor', as('admin'))).toBeUndefined();
    expect(pageFor('__proto__', as('admin'))).toBeUndefined();
  });
});
