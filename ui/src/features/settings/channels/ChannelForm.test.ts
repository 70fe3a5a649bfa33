import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Channel } from '../../../lib/api/client';
import ChannelForm from './ChannelForm.svelte';
import type { Connector } from './connectors.svelte';

const CONNECTOR: Connector = {
  id: 'mailbox', title: 'Mailbox', api_base: 'https://api.mailbox.example',
  settings: [
    { key: 'address', kind: 'text', help: 'the address', required: true, secret: false },
    { key: 'imap.host', kind: 'text', help: 'the host', required: true, secret: false },
    { key: 'imap.password', kind: 'secret', help: 'the password', required: true, secret: true },
    { key: 'imap.security', kind: 'choice', choices: ['tls', 'starttls'], help: 'how it is encrypted', required: false, default: 'tls', secret: false },
    { key: 'verify_token', kind: 'secret', help: 'your own words', required: true, secret: true },
    { key: 'read_all', kind: 'flag', help: 'whether all folders are read', required: false, default: 'false', secret: false },
  ],
};

const CHANNEL = {
  id: 'post', connector: 'mailbox', title: 'Mailbox', name: 'Post', state: 'up', detail: '', read_only: false, rejected_deliveries: 0, created_at: '2026-11-28T05:00:00Z', catch_up: true, api_base: null,
  settings: [
    { key: 'address', value: 'post@shop.example', secret: false, set: true },
    { key: 'imap.host', value: 'imap.shop.example', secret: false, set: true },
    { key: 'imap.password', value: null, secret: true, set: true },
    { key: 'imap.security', value: 'tls', secret: false, set: true },
    { key: 'verify_token', value: null, secret: true, set: true },
    { key: 'read_all', value: false, secret: false, set: true },
  ],
} as unknown as Channel;

let asked: { line: string; body: Record<string, unknown>; key: string | null }[];
let answer: [number, unknown];

beforeEach(() => {
  asked = [];
  answer = [201, CHANNEL];
  vi.stubGlobal('fetch', async (input: string, init: RequestInit = {}) => {
    asked.push({ line: `${init.method} ${input}`, body: JSON.parse(String(init.body)) as Record<string, unknown>, key: new Headers(init.headers).get('idempotency-key') });
    return new Response(JSON.stringify(answer[1]), { status: answer[0], headers: { 'content-type': 'application/json' } });
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const write = (label: string | RegExp, value: string) => fireEvent.input(screen.getByLabelText(label), { target: { value } });
const press = (name: string) => fireEvent.click(screen.getByRole('button', { name }));

describe('the form of a new channel', () => {
  it('sends nothing while something is missing, and says what', async () => {
    render(ChannelForm, { connector: CONNECTOR, onsaved: () => undefined });
    await press('Add the channel');
    expect(asked).toEqual([]);
    expect(screen.getByRole('alert').textContent).toContain('Still missing: Address, Host, Password, Verify token.');
    expect(screen.getByLabelText('Address').getAttribute('aria-invalid')).toBe('true');
  });

  it('sends what was given under whole keys, with what was made for it', async () => {
    const saved = vi.fn();
    render(ChannelForm, { connector: CONNECTOR, given: { verify_token: 'made here' }, name: 'Butik Pošta', onsaved: saved });
    expect(screen.queryByLabelText('Verify token')).toBeNull();
    await write('Address', 'post@shop.example');
    await write('Host', 'imap.shop.example');
    await write('Password', 'invented');
    await press('Add the channel');
    await waitFor(() => expect(saved).toHaveBeenCalledWith(CHANNEL));
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({
      line: 'POST /api/v1/channels',
      body: { id: 'butik-posta', connector: 'mailbox', name: 'Butik Pošta', settings: { address: 'post@shop.example', 'imap.host': 'imap.shop.example', 'imap.password': 'invented', verify_token: 'made here' } },
    });
    expect(Object.keys(asked[0]?.body ?? {}).sort()).toEqual(['connector', 'id', 'name', 'settings']);
    expect(asked[0]?.key).toMatch(/^[\w-]{36}$/);
  });

  it('repeats a request under the same key, and another under another', async () => {
    answer = [503, { type: '/docs/problems/unavailable', title: 'x', detail: 'The store takes nothing just now.' }];
    render(ChannelForm, { connector: CONNECTOR, given: { verify_token: 'x' }, name: 'Post', onsaved: () => undefined });
    await write('Address', 'a');
    await write('Host', 'b');
    await write('Password', 'c');
    await press('Add the channel');
    expect((await screen.findByRole('alert')).textContent).toContain('The store takes nothing just now.');
    await press('Add the channel');
    await waitFor(() => expect(asked).toHaveLength(2));
    await write('Host', 'd');
    await waitFor(() => expect((screen.getByRole('button', { name: 'Add the channel' }) as HTMLButtonElement).disabled).toBe(false));
    await press('Add the channel');
    await waitFor(() => expect(asked).toHaveLength(3));
    expect(asked[1]?.key).toBe(asked[0]?.key);
    expect(asked[2]?.key).not.toBe(asked[0]?.key);
  });

  it('shows what the daemon says of a field at the field', async () => {
    answer = [422, { type: '/docs/problems/invalid', title: 'x', detail: 'x', errors: [{ pointer: '/settings/imap/host', detail: 'is no host.' }, { pointer: '/id', detail: 'is taken.' }] }];
    render(ChannelForm, { connector: CONNECTOR, given: { verify_token: 'x' }, name: 'Post', onsaved: () => undefined });
    await write('Address', 'a');
    await write('Host', 'b');
    await write('Password', 'c');
    await press('Add the channel');
    await screen.findByText('is no host.');
    expect(screen.getByLabelText('Host').getAttribute('aria-invalid')).toBe('true');
    expect(screen.getByText('is taken.')).toBeTruthy();
  });
});

describe('the form of a channel that is there', () => {
  it('sends only what differs, and no secret that nobody touched', async () => {
    answer = [200, CHANNEL];
    const { container } = render(ChannelForm, { connector: CONNECTOR, channel: CHANNEL, onsaved: () => undefined });
    expect((screen.getByRole('button', { name: 'Save' }) as HTMLButtonElement).disabled).toBe(true);
    await fireEvent.change(screen.getByLabelText(/^Security/), { target: { value: 'starttls' } });
    await fireEvent.submit(container.querySelector('form') as HTMLFormElement);
    await waitFor(() => expect(asked).toHaveLength(1));
    expect(asked[0]).toMatchObject({ line: 'PATCH /api/v1/channels/post', body: { settings: { 'imap.security': 'starttls' } } });
    expect(JSON.stringify(asked[0]?.body)).not.toMatch(/password|verify_token|address|name/);
  });
});
