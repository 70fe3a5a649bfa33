import { expect, it } from 'vitest';

import { problemWords } from './problems';

/** As the daemon writes them (src/api/oidc.rs, src/api/pages.rs). */
const NAMES = ['setup-used', 'cancelled', 'expired', 'email-not-verified', 'domain-not-allowed', 'not-invited', 'account-exists', 'account-disabled', 'two-factor', 'provider-unavailable', 'provider-refused'];

it('has words for each problem of the daemon', () => {
  const words = NAMES.map((name) => problemWords(`?problem=${name}`));
  for (const said of words) expect(said).not.toMatch(/did not work \(/);
  expect(new Set(words).size).toBe(NAMES.length);
});

it('says something of others, too, and nothing without one', () => {
  expect(problemWords('?problem=new-kind')).toContain('(new-kind)');
  expect(problemWords('?problem=__proto__')).toContain('(__proto__)');
  expect(problemWords('?return=/desk')).toBeNull();
});
