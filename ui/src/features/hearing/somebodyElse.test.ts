// @vitest-environment node
import { expect, it } from 'vitest';

import { differs } from './somebodyElse';

it('notices another person, also with nobody between', () => {
  expect([undefined, 'usr_a', 'usr_a', undefined, 'usr_a', 'usr_b', 'usr_b', undefined, 'usr_a'].map(differs)).toEqual([
    false, false, false, false, false, true, false, false, true,
  ]);
});
