import { describe, expect, it } from 'vitest';

import { isEmpty, mergeDrafts, noDraft, parseDraft, type Draft, type LocalDraft } from './drafts';

const draft = (text: string, minute: number, more: Partial<Draft> = {}): Draft => ({ ...noDraft(), text, updated_at: `2026-11-21T10:0${minute}:00.000Z`, ...more });
const local = (text: string, minute: number, dirty: boolean, more: Partial<Draft> = {}): LocalDraft => ({ ...draft(text, minute, more), dirty });

describe('drafts', () => {
  it('are the daemon’s where nothing was changed here since', () => {
    expect(mergeDrafts(local('old', 1, false), draft('new', 2)).text).toBe('new');
    expect(mergeDrafts(local('sent elsewhere', 1, false), noDraft()).text).toBe('');
    expect(mergeDrafts(null, draft('new', 2)).text).toBe('new');
    expect(mergeDrafts(null, noDraft())).toEqual(noDraft());
  });

  it('are what is here where the daemon does not answer', () => {
    expect(mergeDrafts(local('here', 1, true), null).text).toBe('here');
    expect(mergeDrafts(null, null)).toEqual(noDraft());
  });

  it('keep what never reached the daemon', () => {
    expect(mergeDrafts(local('offline', 3, true), draft('older', 2)).text).toBe('offline');
    expect(mergeDrafts(local('offline', 3, true), noDraft()).text).toBe('offline');
  });

  it('lose nothing where both were written', () => {
    expect(mergeDrafts(local('on the train', 1, true), draft('in the shop', 2)).text).toBe('in the shop\n\non the train');
    expect(mergeDrafts(local('Dear', 1, true), draft('Dear Ewa', 2)).text).toBe('Dear Ewa');
    expect(mergeDrafts(local('a', 1, true, { attachment_ids: ['att_1'] }), draft('b', 2, { attachment_ids: ['att_1', 'att_2'] })).attachment_ids).toEqual(['att_1', 'att_2']);
  });

  it('an emptied one stays empty against an older one', () => {
    expect(mergeDrafts(local('', 3, true), draft('older', 2)).text).toBe('');
  });

  it('is empty without text, files and quote', () => {
    expect(isEmpty(noDraft())).toBe(true);
    expect(isEmpty(draft(' \n', 1))).toBe(true);
    expect(isEmpty(draft('', 1, { attachment_ids: ['att_1'] }))).toBe(false);
  });

  it.each([null, '', 'null', '[]', '{}', '{"text":1}', 'x'])('r12_is none where it cannot be read: %j', (text) => expect(parseDraft(text)).toBeNull());
  it('takes only what it knows', () => {
    expect(parseDraft('{"text":"a","__proto__":{"private":true},"attachment_ids":[1,"att_1"],"reply_to":{}}')).toEqual({ ...noDraft(), text: 'a', attachment_ids: ['att_1'], dirty: true });
  });
});
