import { describe, expect, test } from 'vitest';

import { ApiProblem } from '../api/problem';
import { mayPass, waitFor } from './again';

describe('what is tried again by itself', () => {
  test('a line that is away and a daemon that starts; not what was refused', () => {
    expect(mayPass(ApiProblem.offline())).toBe(true);
    for (const status of [429, 500, 502, 503]) expect(mayPass(new ApiProblem(status, {}))).toBe(true);
    for (const status of [400, 401, 403, 404, 422]) expect(mayPass(new ApiProblem(status, {}))).toBe(false);
    expect(mayPass(new TypeError('failed to fetch'))).toBe(true);
    expect(mayPass(null)).toBe(false);
  });

  test('not before the daemon says, and not all at once', () => {
    expect(waitFor(ApiProblem.offline(), 0)).toBe(5_000);
    expect(waitFor(ApiProblem.offline(), 1)).toBe(7_500);
    expect(waitFor(new ApiProblem(503, {}, 30), 0)).toBe(30_000);
  });
});
