import { ApiProblem } from '../api/problem';

/** After how long it is tried again by itself, in milliseconds; half as long again by chance, so that not all come at once. */
const AGAIN_MS = 5_000;

/** Whether it may go by itself: no answer came, or the daemon asks to wait. What it refused it refuses again. */
export function mayPass(problem: unknown): boolean {
  if (!(problem instanceof ApiProblem)) return problem instanceof TypeError;
  return problem.status === 0 || problem.status === 429 || problem.status >= 500;
}

/** How long to wait for the next try, in milliseconds. */
export function waitFor(problem: unknown, chance: number): number {
  const asked = problem instanceof ApiProblem ? (problem.retryAfter ?? 0) * 1_000 : 0;
  return Math.max(asked, AGAIN_MS) * (1 + chance / 2);
}
