import createClient from 'openapi-fetch';

import { ApiProblem } from './problem';
import type { components, paths } from './schema';

export { ApiProblem } from './problem';

export type Schemas = components['schemas'];
export type Message = Schemas['Message'];
export type Conversation = Schemas['Conversation'];
export type Contact = Schemas['Contact'];
export type Channel = Schemas['Channel'];

/** The routes of the document, typed: `api.GET('/api/v1/me')`. Every answer that is no success throws an {@link ApiProblem}. */
export const api = createClient<paths>({
  // Looked up at each call, so that tests can stand in for it.
  fetch: (request) => answered(globalThis.fetch(request)),
});

async function answered(sent: Promise<Response>): Promise<Response> {
  let response: Response;
  try {
    response = await sent;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw ApiProblem.offline();
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get('retry-after'));
  const problem = new ApiProblem(
    response.status,
    typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {},
    Number.isFinite(seconds) && seconds > 0 ? seconds : null,
  );
  if (problem.status === 401) for (const hear of signedOut) hear(problem);
  throw problem;
}

const signedOut = new Set<(problem: ApiProblem) => void>();

/** Hears of every answer 401. */
export function onUnauthorized(hear: (problem: ApiProblem) => void): () => void {
  signedOut.add(hear);
  return () => signedOut.delete(hear);
}

/** A request by its plain path, for what has no typed route, and for bodies that are no JSON. */
export async function ask<T>(method: string, path: string, body?: unknown, init: RequestInit = {}): Promise<T> {
  const headers = new Headers(init.headers);
  let sent: BodyInit | undefined;
  if (body instanceof Blob || body instanceof FormData) sent = body;
  else if (body !== undefined) {
    headers.set('content-type', 'application/json');
    sent = JSON.stringify(body);
  }
  const response = await answered(fetch(path, { ...init, method, headers, ...(sent !== undefined && { body: sent }) }));
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

/** A key that makes a repeated request the same request. */
export const idempotencyKey = (): string => crypto.randomUUID();
