import { describe, expect, it } from 'vitest';

import { safeReturn } from '../../lib/router.svelte';

const FINE = [
  '/', '/desk', '/desk/', '/desk/inbox/unanswered', '/desk/inbox/unanswered/cnv_6H2128Y0CPWB3', '/desk/settings/channels/shop-page',
  '/desk/settings/channels?add=messenger', '/desk/inbox/label/%C5%BElt%C3%A1', '/desk/stream', '/?view=all',
];

const FOREIGN = ['evil.example', 'evil.example/desk', '127.0.0.1:9', 'user@evil.example', 'xn--e1awd7f.example', '[::1]'];

/** What has led other desks' people away after signing in: each has to end at `/`. */
const HOSTILE = [
  ...FOREIGN.flatMap((host) => [
    `https://${host}`, `http://${host}/desk`, `//${host}`, `///${host}`, `////${host}/desk`, `/\\${host}`, `\\\\${host}`, `\\/${host}`, `/\t/${host}`,
    `/\n/${host}`, `/\r\n//${host}`, ` //${host}`, `https:${host}`, `https:/${host}`, `/desk//${host}`, `/desk/..//${host}`, `/desk/@${host}`,
  ]),
  'javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'java\tscript:alert(1)', 'javascript://desk/%0aalert(1)', 'data:text/html,<script>alert(1)</script>',
  'vbscript:msgbox(1)', 'blob:https://desk.example/1', 'file:///etc/passwd', 'mailto:a@evil.example',
  '/desk/../api/v1/session', '/desk/%2e%2e/setup', '/desk/.%2E/setup', '/desk/%2E./api', '/desk/..', '/desk/../../..//evil.example', '/desk/a/..%2f..%2f/evil.example',
  '/deskevil', '/desk.evil.example', '/desk\\evil', '/desk;evil', '/desk/<script>', '/desk/"onload=1', "/desk/'", '/desk/ x', '/desk#//evil.example',
  '/api/v1/session', '/setup?token=1', '/webhooks/shop-page', '/auth/oidc/start', '/try/website', '/chat/website.js', '/signin?return=/signin', '/join#token',
  'desk', 'desk/inbox', '.', '..', './desk', '', '?return=/desk', '#', '/desk?next=//evil.example', '/desk?u=https://evil.example', '/desk/\u2025/x',
  '/desk/\u0000', '/desk/\u202e', '/\u2044evil.example', '/%5Cevil.example', '/%2F/evil.example', '/desk/%', '/desk/%zz', '/desk/%ff',
];

describe('s11_the path to return to after signing in', () => {
  it('takes the desk’s own', () => {
    for (const path of FINE) expect(safeReturn(path), path).toBe(path);
  });

  it('takes nothing else, of more than 100', () => {
    expect(HOSTILE.length).toBeGreaterThan(100);
    for (const path of HOSTILE) expect(safeReturn(path), JSON.stringify(path)).toBe('/');
    expect(safeReturn(null)).toBe('/');
  });

  it('stays on this site and in the desk whatever it gives, as browsers read it', () => {
    for (const path of [...FINE, ...HOSTILE]) {
      const { origin, pathname } = new URL(safeReturn(path), 'https://desk.example');
      expect(origin).toBe('https://desk.example');
      expect(pathname === '/' || /^\/desk(\/|$)/.test(pathname), path).toBe(true);
    }
  });
});
