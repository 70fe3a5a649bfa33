import { afterEach, expect, it } from 'vitest';

import { language } from '../i18n/index.svelte';
import { ApiProblem, failureWords } from './problem';

const problem = (type: string, detail: string, status = 409) => new ApiProblem(status, { type: `/docs/problems/${type}`, title: 'A title', detail });

afterEach(() => language.speak('en'));

it('says a problem in the reader’s language by its type', async () => {
  expect(problem('taken', 'The conversation is assigned to usr_1.').words).toBe('Somebody else has the conversation. Nothing was changed.');
  await language.speak('sk');
  expect(problem('taken', 'The conversation is assigned to usr_1.').words).toBe('Konverzácii sa už venuje niekto iný. Nič sa nezmenilo.');
  expect(ApiProblem.offline().words).toBe('Deskbell sa nevie spojiť so serverom.');
});

it('keeps what only the daemon knows', async () => {
  expect(problem('too-large', 'At most 25 MB.', 413).words).toBe('At most 25 MB.');
  await language.speak('de');
  expect(problem('too-large', 'At most 25 MB.', 413).words).toBe('Das ist zu groß. (At most 25 MB.)');
});

it('says what the daemon said where it has no words, and something where the daemon said nothing', async () => {
  await language.speak('sk');
  expect(problem('quite-new', 'Something {new} happened.').words).toBe('Something {new} happened.');
  expect(problem('constructor', 'As JavaScript names it.').words).toBe('As JavaScript names it.');
  expect(new ApiProblem(502, {}).words).toBe('Server odpovedal chybou 502.');
  expect(failureWords(new Error('x'))).toBe('x');
  expect(failureWords(problem('label-exists', 'There is one.'))).toBe('Štítok s týmto názvom už existuje.');
});
