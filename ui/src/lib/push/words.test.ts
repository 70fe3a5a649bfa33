import { expect, it } from 'vitest';

import { wordsFor } from './words';

it('is what was chosen, else what the browser asks for, else English', () => {
  expect(wordsFor('sk', ['de'])['push.take']).toBe('Prevziať');
  expect(wordsFor(null, ['fr', 'pl-PL'])['push.take']).toBe('Przejmij');
  expect(wordsFor('toString', [])['push.take']).toBe('I take it');
});

it('has no place to fill in, in any language', () => {
  for (const code of ['en', 'sk', 'cs', 'pl', 'de']) for (const text of Object.values(wordsFor(code, []))) expect(text).not.toMatch(/[{}]/);
});
