import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/svelte';
import { encode } from 'uqr';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import Qr from './Qr.svelte';
import TwoFactor from './TwoFactor.svelte';

let answers: Map<string, [number, unknown][]>;
let asked: { line: string; body: unknown }[];

beforeEach(() => {
  asked = [];
  answers = new Map();
  vi.stubGlobal('fetch', async (input: string, init: RequestInit = {}) => {
    const line = `${init.method} ${input}`;
    asked.push({ line, body: JSON.parse(String(init.body)) });
    const [status, body] = answers.get(line)?.shift() ?? [404, {}];
    return new Response(status === 204 ? null : JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const write = (label: string, value: string) => fireEvent.input(screen.getByLabelText(label), { target: { value } });
const press = (name: string) => fireEvent.click(screen.getByRole('button', { name }));
const refused = (pointer: string, detail: string): [number, unknown] => [422, { type: '/docs/problems/invalid', title: 'x', detail: 'x', errors: [{ pointer, detail }] }];

describe('setting a second factor up', () => {
  it('asks for the password, shows the secret, takes a code and shows the recovery codes once', async () => {
    const onchange = vi.fn(async () => undefined);
    answers.set('POST /api/v1/me/two-factor', [refused('/password', 'This is not your password.'), [201, { secret: 'JBSWY3DPEHPK3PXP', otpauth_url: 'otpauth://totp/x?secret=JBSWY3DPEHPK3PXP' }]]);
    answers.set('POST /api/v1/me/two-factor/confirm', [refused('/code', 'This code is wrong, or was used before.'), [200, { recovery_codes: ['aaaa-bbbb', 'cccc-dddd'] }]]);
    render(TwoFactor, { on: false, onchange });
    await press('Set it up');
    await write('Password', 'wrong');
    await press('Go on');
    expect(await screen.findByText('This is not your password.')).toBeTruthy();
    await write('Password', 'right');
    await press('Go on');
    expect(await screen.findByText('JBSW Y3DP EHPK 3PXP')).toBeTruthy();
    await write('Code', '000000');
    await press('Turn it on');
    expect(await screen.findByText('This code is wrong, or was used before.')).toBeTruthy();
    expect(onchange).not.toHaveBeenCalled();
    await write('Code', '123 456');
    await press('Turn it on');
    expect(await screen.findByText('aaaa-bbbb')).toBeTruthy();
    expect(asked.at(-1)?.body).toEqual({ code: '123456' });
    expect(onchange).toHaveBeenCalledOnce();
    await press('I have kept them');
    expect(screen.queryByText('aaaa-bbbb')).toBeNull();
  });

  it('is turned off with the password and a code', async () => {
    const onchange = vi.fn(async () => undefined);
    answers.set('DELETE /api/v1/me/two-factor', [[204, null]]);
    render(TwoFactor, { on: true, onchange });
    await press('Turn it off');
    await write('Password', 'right');
    await write('Code', 'k3j9-xqv8');
    await press('Turn it off');
    await waitFor(() => expect(onchange).toHaveBeenCalledOnce());
    expect(asked).toEqual([{ line: 'DELETE /api/v1/me/two-factor', body: { password: 'right', code: 'k3j9-xqv8' } }]);
  });
});

it('draws the squares of the QR code, each and no other', () => {
  const text = 'otpauth://totp/Deskbell:ana@shop.example?secret=JBSWY3DPEHPK3PXP&issuer=Deskbell';
  const { container } = render(Qr, { text, label: 'QR' });
  const code = encode(text, { ecc: 'M', border: 4 });
  const drawn = code.data.map((row) => row.map(() => false));
  for (const [, x, y, width] of container.querySelector('path')?.getAttribute('d')?.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g) ?? []) {
    for (let at = 0; at < Number(width); at++) {
      const row = drawn[Number(y)];
      if (row) row[Number(x) + at] = true;
    }
  }
  expect(drawn).toEqual(code.data.map((row) => row.map(Boolean)));
});
