import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { router } from '../../lib/router.svelte';
import { session } from '../../lib/state/session.svelte';
import Join from './Join.svelte';
import SignIn from './SignIn.svelte';

type Answer = [status: number, body: unknown, headers?: Record<string, string>];
let answers: Record<string, Answer[]>;
let asked: { line: string; body: unknown }[];

const problem = (status: number, code: string, headers?: Record<string, string>): Answer => [status, { type: `/docs/problems/${code}`, title: code, status, detail: `The daemon says ${code}.` }, headers];

beforeEach(() => {
  asked = [];
  answers = { 'GET /api/v1/session/providers': [[200, { data: [], next: null }]] };
  vi.stubGlobal('fetch', async (input: string, init: RequestInit = {}) => {
    const line = `${init.method ?? 'GET'} ${input}`;
    asked.push({ line, body: typeof init.body === 'string' ? JSON.parse(init.body) : undefined });
    const known = answers[line] ?? [];
    const [status, body, headers = {}] = (known.length > 1 ? known.shift() : known[0]) ?? problem(404, 'not-found');
    return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });
  });
  session.status = 'out';
  session.me = null;
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  router.go('/signin', { replace: true });
});

async function fillIn() {
  await fireEvent.input(screen.getByLabelText('E-mail'), { target: { value: ' ana@shop.example ' } });
  await fireEvent.input(screen.getByLabelText('Password'), { target: { value: 'kettle moon harbour' } });
  await fireEvent.click(screen.getByRole('button', { name: 'Sign in' }));
}

describe('signing in', () => {
  it('asks for the code where there is a second factor, and sends all together', async () => {
    answers['POST /api/v1/session'] = [problem(401, 'code-needed'), problem(401, 'wrong-code'), [201, { id: 'usr_1', name: 'Ana', scopes: ['admin'] }]];
    render(SignIn);
    await fillIn();
    const code = await screen.findByLabelText('Code');
    expect(screen.queryByRole('alert')).toBeNull();
    await fireEvent.input(code, { target: { value: '000000' } });
    await fireEvent.click(screen.getByRole('button', { name: 'Sign in' }));
    expect((await screen.findByRole('alert')).textContent).toContain('not right');
    await waitFor(() => expect((screen.getByLabelText('Code') as HTMLInputElement).value).toBe(''));
    await fireEvent.click(screen.getByRole('button', { name: 'Use a recovery code instead' }));
    await fireEvent.input(screen.getByLabelText('Recovery code'), { target: { value: 'k3j9-xqv8-hn2l' } });
    await fireEvent.click(screen.getByRole('button', { name: 'Sign in' }));
    await waitFor(() => expect(session.status).toBe('in'));
    expect(asked.at(-1)).toEqual({ line: 'POST /api/v1/session', body: { email: 'ana@shop.example', password: 'kettle moon harbour', code: 'k3j9-xqv8-hn2l' } });
    expect(asked.filter((one) => one.line === 'POST /api/v1/session')[0]?.body).not.toHaveProperty('code');
  });

  it('says the same of an unknown address and a wrong password', async () => {
    answers['POST /api/v1/session'] = [problem(401, 'wrong-credentials')];
    render(SignIn);
    await fillIn();
    expect((await screen.findByRole('alert')).textContent).toContain('The e-mail or the password is not right.');
  });

  it('waits as long as the daemon asks', async () => {
    answers['POST /api/v1/session'] = [problem(429, 'too-many', { 'retry-after': '30' })];
    render(SignIn);
    await fillIn();
    expect((await screen.findByRole('alert')).textContent).toMatch(/Try again in (29|30) seconds/);
    expect((screen.getByRole('button', { name: 'Sign in' }) as HTMLButtonElement).disabled).toBe(true);
  });

  it('says what became of the set-up link, and names no code that it was given', async () => {
    router.go('/signin?problem=setup-used', { replace: true });
    render(SignIn);
    expect(screen.getByText(/works once/)).toBeTruthy();
    cleanup();
    router.go('/signin?problem=%3Cimg%20src%3Dx%3E', { replace: true });
    render(SignIn);
    expect(screen.getByText(/did not work \(imgsrcx\)/)).toBeTruthy();
    expect(document.querySelector('img')).toBeNull();
  });

  it('offers providers of this desk only, and takes its own paths along only (S11)', async () => {
    answers['GET /api/v1/session/providers'] = [[200, { data: [{ id: 'a', name: 'Shop', start_url: '/auth/oidc/start' }, { id: 'b', name: 'Evil', start_url: 'https://evil.example/' }], next: null }]];
    router.go('/signin?return=//evil.example', { replace: true });
    render(SignIn);
    const link = await screen.findByRole('link', { name: 'Continue with Shop' });
    expect(link.getAttribute('href')).toBe('/auth/oidc/start?return=%2F');
    expect(screen.queryByText(/Evil/)).toBeNull();
  });
});

describe('joining', () => {
  it('looks once, and goes in with the name and password', async () => {
    answers['POST /api/v1/invitations/look'] = [[200, { email: 'iryna@shop.example', name: 'Iryna', expires_at: '2026-11-29T05:00:00Z' }]];
    answers['POST /api/v1/invitations/accept'] = [[422, { type: '/docs/problems/invalid', title: 'x', detail: 'x', errors: [{ pointer: '/password', detail: 'This is one of the passwords that are tried first.' }] }], [201, { id: 'usr_2', name: 'Iryna', scopes: ['read'] }]];
    router.go('/join#token-of-a-test', { replace: true });
    render(Join);
    await fireEvent.input(await screen.findByLabelText('Password'), { target: { value: 'trustno1trustno1' } });
    await new Promise((done) => setTimeout(done, 50));
    expect(asked.filter((one) => one.line === 'POST /api/v1/invitations/look')).toEqual([{ line: 'POST /api/v1/invitations/look', body: { token: 'token-of-a-test' } }]);
    await fireEvent.click(screen.getByRole('button', { name: 'Join' }));
    expect(await screen.findByText('This is one of the passwords that are tried first.')).toBeTruthy();
    await fireEvent.input(screen.getByLabelText('Password'), { target: { value: 'kettle moon harbour' } });
    await fireEvent.click(screen.getByRole('button', { name: 'Join' }));
    await waitFor(() => expect(session.status).toBe('in'));
    expect(asked.at(-1)?.body).toEqual({ token: 'token-of-a-test', name: 'Iryna', password: 'kettle moon harbour' });
    expect(location.hash).toBe('');
  });

  it('says that a link is over', async () => {
    answers['POST /api/v1/invitations/look'] = [problem(404, 'invitation-gone')];
    router.go('/join#old', { replace: true });
    render(Join);
    expect(await screen.findByText('This link works no more')).toBeTruthy();
  });

  it('asks nobody without a token', async () => {
    router.go('/join', { replace: true });
    render(Join);
    expect(await screen.findByText('This link works no more')).toBeTruthy();
    expect(asked).toEqual([]);
  });
});
