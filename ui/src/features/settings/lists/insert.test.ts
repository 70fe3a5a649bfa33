import { expect, it } from 'vitest';

import { insertAt } from './insert';

it.each([
  ['', 0, 0, '{{a}}', 5],
  ['Hello ', 6, 6, 'Hello {{a}}', 11],
  ['Hello', 5, 5, 'Hello {{a}}', 11],
  ['Hello, how', 6, 6, 'Hello,{{a}} how', 11],
  ['Hello NAME!', 6, 10, 'Hello {{a}}!', 11],
  ['ab', 1, 1, 'a {{a}} b', 8],
])('%j from %i to %i', (text, from, to, is, at) => expect(insertAt(text, '{{a}}', from, to)).toEqual({ text: is, at }));
