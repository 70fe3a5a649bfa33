import { t, type Key } from '../../lib/i18n/index.svelte';

/** What `?problem=…` of the sign-in page means, in words; `null` where there is none. */
export function problemWords(query: string): string | null {
  const code = new URLSearchParams(query).get('problem');
  if (!code) return null;
  const key = WORDS.get(code);
  return key ? t(key) : t('signin.problem.other', { code: code.slice(0, 40).replace(/[^\w-]/g, '') });
}

/** By the names of the daemon. */
const WORDS = new Map<string, Key>([
  ['setup-used', 'signin.problem.setup-used'],
  ['cancelled', 'signin.problem.cancelled'],
  ['expired', 'signin.problem.expired'],
  ['email-not-verified', 'signin.problem.unverified'],
  ['domain-not-allowed', 'signin.problem.domain'],
  ['not-invited', 'signin.problem.notInvited'],
  ['account-exists', 'signin.problem.exists'],
  ['account-disabled', 'signin.problem.disabled'],
  ['two-factor', 'signin.problem.twoFactor'],
  ['provider-unavailable', 'signin.problem.unavailable'],
  ['provider-refused', 'signin.problem.refused'],
]);
