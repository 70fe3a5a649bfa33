import type { Message, Schemas } from '../../lib/api/client';

export type Attachment = Schemas['Attachment'];

/** What a platform or the desk added to a message. Names come from data: a `Map`, so that none of them is JavaScript's own (R12). */
export const metadataOf = (message: Pick<Message, 'metadata'>): ReadonlyMap<string, unknown> => new Map(Object.entries((message.metadata ?? {}) as Record<string, unknown>));
