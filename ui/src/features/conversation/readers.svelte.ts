import { ApiProblem, ask, type Message } from '../../lib/api/client';

export interface Reader {
  /** Null for a program. */
  user_id: string | null;
  name: string | null;
  /** The last message that they have read. */
  up_to: string;
  at: string | null;
}

/** A daemon that keeps no readers answers 404: it is not asked again. */
let kept = true;

export async function readersOf(conversation: string): Promise<Reader[]> {
  if (!kept) return [];
  try {
    return (await ask<{ data: Reader[] }>('GET', `/api/v1/conversations/${encodeURIComponent(conversation)}/readers`)).data;
  } catch (error) {
    if (error instanceof ApiProblem && (error.status === 404 || error.status === 405)) kept = false;
    return [];
  }
}

/** Who beside this person has seen the newest message of the customer. */
export function seenBy(readers: readonly Reader[], messages: readonly Message[], me: string | null): string[] {
  const newest = messages.findLastIndex((message) => message.kind === 'message' && message.direction === 'inbound');
  if (newest < 0) return [];
  const places = new Map(messages.map((message, index) => [message.id, index]));
  return readers.filter((reader) => reader.user_id !== null && reader.user_id !== me && (places.get(reader.up_to) ?? -1) >= newest).flatMap((reader) => reader.name ?? []);
}
