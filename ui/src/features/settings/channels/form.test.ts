import { describe, expect, it } from 'vitest';

import { ApiProblem } from '../../../lib/api/client';
import { changed, fieldsFor, groupsOf, keyAt, labelOf, missing, problemsOf, settingsOf, slugOf, type Current, type Described, type FormField } from './form';

const setting = (key: string, kind: Described['kind'], more: Partial<Described> = {}): Described => ({
  key, kind, help: '', required: false, secret: kind === 'secret', choices: null, default: null, ...more,
});

const DESCRIBED: Described[] = [
  setting('page_id', 'text', { required: true }),
  setting('page_access_token', 'secret', { required: true }),
  setting('signing_secret', 'secret'),
  setting('human_agent', 'flag', { default: 'false' }),
  setting('mode', 'choice', { choices: ['poll', 'webhook'], default: 'poll' }),
  setting('allowed_origins', 'list'),
  setting('graph_version', 'text', { default: 'v25.0' }),
  setting('imap.host', 'text', { required: true }),
  setting('imap.password', 'secret'),
  setting('smtp.host', 'text'),
];

const CURRENT: Current[] = [
  { key: 'page_id', value: '1029384756', secret: false, set: true },
  { key: 'page_access_token', value: null, secret: true, set: true },
  { key: 'signing_secret', value: null, secret: true, set: true },
  { key: 'human_agent', value: true, secret: false, set: true },
  { key: 'mode', value: 'webhook', secret: false, set: true },
  { key: 'allowed_origins', value: ['https://shop.example', 'https://www.shop.example'], secret: false, set: true },
  { key: 'graph_version', value: 'v24.0', secret: false, set: true },
  { key: 'imap.host', value: 'imap.shop.example', secret: false, set: true },
  { key: 'imap.password', value: null, secret: true, set: false },
];

function put(fields: FormField[], key: string, change: Partial<FormField>): void {
  const field = fields.find((one) => one.setting.key === key);
  if (!field) throw new Error(`no field ${key}`);
  Object.assign(field, change);
}

describe('a form from the settings that a connector describes', () => {
  it('begins with the defaults', () => {
    const values = Object.fromEntries(fieldsFor(DESCRIBED).map((field) => [field.setting.key, field.value]));
    expect(values).toEqual({
      page_id: '', page_access_token: '', signing_secret: '', human_agent: false, mode: 'poll', allowed_origins: '', graph_version: 'v25.0',
      'imap.host': '', 'imap.password': '', 'smtp.host': '',
    });
  });

  it('begins with what a channel has, and shows no secret', () => {
    const fields = fieldsFor(DESCRIBED, CURRENT);
    const of = (key: string) => fields.find((field) => field.setting.key === key);
    expect(of('human_agent')?.value).toBe(true);
    expect(of('mode')?.value).toBe('webhook');
    expect(of('allowed_origins')?.value).toBe('https://shop.example\nhttps://www.shop.example');
    expect(of('page_access_token')).toMatchObject({ value: '', kept: true });
    expect(of('imap.password')).toMatchObject({ value: '', kept: false });
  });

  it('groups dotted keys, and puts apart what is rarely touched', () => {
    const { groups, advanced } = groupsOf(fieldsFor(DESCRIBED));
    expect(groups.map((group) => [group.name, group.fields.map((field) => field.setting.key)])).toEqual([
      ['', ['page_id', 'page_access_token', 'signing_secret', 'human_agent', 'mode', 'allowed_origins']],
      ['imap', ['imap.host', 'imap.password']],
      ['smtp', ['smtp.host']],
    ]);
    expect(advanced.map((field) => field.setting.key)).toEqual(['graph_version']);
  });

  it('sends of a new channel what was given, each kind as what it is', () => {
    const fields = fieldsFor(DESCRIBED);
    expect(settingsOf(fields, 'new')).toEqual({});
    put(fields, 'page_id', { value: ' 42 ' });
    put(fields, 'page_access_token', { value: ' kept as it is ' });
    put(fields, 'human_agent', { value: true });
    put(fields, 'mode', { value: 'webhook' });
    put(fields, 'allowed_origins', { value: 'https://a.example\n\n https://b.example, https://c.example ' });
    put(fields, 'imap.host', { value: 'imap.shop.example' });
    expect(settingsOf(fields, 'new')).toEqual({
      page_id: '42', page_access_token: ' kept as it is ', human_agent: true, mode: 'webhook',
      allowed_origins: ['https://a.example', 'https://b.example', 'https://c.example'], 'imap.host': 'imap.shop.example',
    });
  });

  it('sends of a change what differs only, and never a secret that was not touched', () => {
    const fields = fieldsFor(DESCRIBED, CURRENT);
    expect(settingsOf(fields, 'change')).toEqual({});
    expect(changed(fields)).toBe(false);
    put(fields, 'mode', { value: 'poll' });
    put(fields, 'human_agent', { value: false });
    put(fields, 'allowed_origins', { value: '' });
    put(fields, 'graph_version', { value: '' });
    put(fields, 'allowed_origins', { value: '' });
    expect(settingsOf(fields, 'change')).toEqual({ mode: 'poll', human_agent: false, allowed_origins: null, graph_version: null });
    for (const { setting: { key, secret } } of fields) if (secret) expect(settingsOf(fields, 'change')).not.toHaveProperty([key]);
    put(fields, 'page_access_token', { value: 'new' });
    expect(settingsOf(fields, 'change')).toHaveProperty('page_access_token', 'new');
  });

  it('takes an optional secret out only when told, a required one never', () => {
    const fields = fieldsFor(DESCRIBED, CURRENT);
    put(fields, 'signing_secret', { removed: true });
    put(fields, 'page_access_token', { removed: true });
    put(fields, 'imap.password', { removed: true });
    expect(settingsOf(fields, 'change')).toEqual({ signing_secret: null });
  });

  it('knows what is missing', () => {
    expect(missing(fieldsFor(DESCRIBED)).map((field) => field.setting.key)).toEqual(['page_id', 'page_access_token', 'imap.host']);
    expect(missing(fieldsFor(DESCRIBED, CURRENT))).toEqual([]);
  });

  it('is not fooled by the names of objects’ own things (R12)', () => {
    const fields = fieldsFor([setting('__proto__', 'text'), setting('constructor', 'text')], [{ key: '__proto__', value: 'x', secret: false, set: true }]);
    put(fields, 'constructor', { value: 'y' });
    const sent = settingsOf(fields, 'change');
    expect(JSON.stringify(sent)).toBe('{"constructor":"y"}');
    expect(({} as Record<string, unknown>).x).toBeUndefined();
    put(fields, '__proto__', { value: 'z' });
    expect(JSON.stringify(settingsOf(fields, 'change'))).toBe('{"__proto__":"z","constructor":"y"}');
  });
});

describe('what the daemon says of fields', () => {
  const problem = new ApiProblem(422, {
    detail: 'Some fields do not do.',
    errors: [
      { pointer: '/settings/imap/host', detail: 'is missing.' },
      { pointer: '/settings/allowed_origins/1', detail: 'must have no path.' },
      { pointer: '/id', detail: 'is taken.' },
      { pointer: '/settings/unheard_of', detail: 'is unknown.' },
    ],
  });

  it('stands at the field, however the pointer leads there', () => {
    const { at, rest } = problemsOf(problem, fieldsFor(DESCRIBED), ['/id', '/name']);
    expect(Object.fromEntries(at)).toEqual({ 'imap.host': 'is missing.', allowed_origins: 'must have no path.', '/id': 'is taken.' });
    expect(rest).toEqual(['settings/unheard_of is unknown.']);
  });

  it('stands above the form where it names no field', () => {
    expect(problemsOf(new ApiProblem(409, { detail: 'The slug is in use.' }), [], []).rest).toEqual(['The slug is in use.']);
    expect(problemsOf(null, [], [])).toEqual({ at: new Map(), rest: [] });
  });

  it('reads pointers as RFC 6901 writes them', () => {
    expect(keyAt('/settings/a~1b~0c')).toBe('a/b~c');
    expect(keyAt('/settings/imap.host')).toBe('imap.host');
    expect(keyAt('/name')).toBeNull();
  });
});

describe('names', () => {
  it.each([['page_access_token', 'Page access token'], ['app_id', 'App ID'], ['imap.host', 'Host'], ['account_sid', 'Account SID'], ['oauth', 'OAuth']])('%s is %s', (key, label) => {
    expect(labelOf(key)).toBe(label);
  });

  it.each([['Butik on Facebook', 'butik-on-facebook'], ['Żółw & Łódź', 'zolw-lodz'], ['  —  ', ''], ['Магазин', ''], ['a'.repeat(80), 'a'.repeat(63)], [`${'a'.repeat(62)} b`, 'a'.repeat(62)]])('%s gives %s', (name, slug) => {
    expect(slugOf(name)).toBe(slug);
  });
});
