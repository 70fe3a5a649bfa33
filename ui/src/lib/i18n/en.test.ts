import { IntlMessageFormat } from 'intl-messageformat';
import { expect, it } from 'vitest';

import { en } from './en';

it('has words that can all be read by ICU’s rules', () => {
  for (const [key, text] of Object.entries(en)) {
    if (text.includes('{{')) continue;
    expect(() => new IntlMessageFormat(text, 'en'), key).not.toThrow();
    expect(text, key).not.toMatch(/Oops|! |\w \w.*!$/);
  }
});
