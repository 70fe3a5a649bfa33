import { describe, expect, it } from 'vitest';

import { actionWords, beginningOf, detailWords, endOf } from './audit';

describe('the audit log in words', () => {
  it('says what was done', () => {
    expect(actionWords('token.created')).toBe('token created');
    expect(actionWords('two_factor.turned-off')).toBe('two factor turned off');
  });

  it('says what else is known, and leaves out what is empty', () => {
    expect(detailWords({ role: 'agent', channels: ['website', 'bot'], before: null, note: '', from: { role: 'viewer' }, none: [] })).toBe('role: agent · channels: website, bot · from: role viewer');
    expect(detailWords({})).toBe('');
    expect(detailWords({ long: 'x'.repeat(1000) })).toHaveLength(300);
  });

  it('takes whole days', () => {
    expect(new Date(beginningOf('2026-11-28') ?? '').getHours()).toBe(0);
    expect(new Date(endOf('2026-12-31') ?? '').getTime()).toBe(new Date(2027, 0, 1).getTime());
    for (const wrong of ['', 'yesterday', '2026-1-1', '0000-00-00']) expect([beginningOf(wrong), endOf(wrong)]).toEqual([null, null]);
  });
});
