/** What a person has begun to write, here and on their other devices. */
export interface Draft {
  text: string;
  private: boolean;
  reply_to: string | null;
  attachment_ids: string[];
  /** RFC 3339; null where there is none. */
  updated_at: string | null;
}

/** A draft as this browser keeps it: with whether the daemon has it. */
export interface LocalDraft extends Draft {
  /** Changed here, and the daemon has not said that it has it. */
  dirty: boolean;
}

export const noDraft = (): Draft => ({ text: '', private: false, reply_to: null, attachment_ids: [], updated_at: null });

export const isEmpty = (draft: Pick<Draft, 'text' | 'attachment_ids' | 'reply_to'>): boolean => draft.text.trim() === '' && draft.attachment_ids.length === 0 && draft.reply_to === null;

/**
 * What stands in the composer when a conversation is opened: of this browser's and the daemon's the one that was written
 * last. What was written here and never reached the daemon is not thrown away for an older one.
 */
export function mergeDrafts(local: LocalDraft | null, server: Draft | null): Draft {
  if (!server) return local ?? noDraft();
  if (!local) return server.updated_at === null ? noDraft() : server;
  if (!local.dirty) return server.updated_at === null ? noDraft() : server;
  if (isEmpty(server)) return local;
  const here = Date.parse(local.updated_at ?? '') || 0;
  const there = Date.parse(server.updated_at ?? '') || 0;
  if (here >= there || local.text === server.text) return local;
  // Both were written, apart from each other: the newer first, and nothing of the other lost.
  if (isEmpty(local)) return server;
  if (server.text.includes(local.text)) return server;
  return { ...server, text: `${server.text}\n\n${local.text}`, attachment_ids: [...new Set([...server.attachment_ids, ...local.attachment_ids])] };
}

/** Reads a draft as this browser kept it; null where it is none. */
export function parseDraft(text: string | null): LocalDraft | null {
  try {
    const kept = JSON.parse(text ?? '') as Partial<Record<keyof LocalDraft, unknown>> | null;
    if (!kept || typeof kept.text !== 'string') return null;
    return {
      text: kept.text,
      private: kept.private === true,
      reply_to: typeof kept.reply_to === 'string' ? kept.reply_to : null,
      attachment_ids: Array.isArray(kept.attachment_ids) ? kept.attachment_ids.filter((id): id is string => typeof id === 'string') : [],
      updated_at: typeof kept.updated_at === 'string' ? kept.updated_at : null,
      dirty: kept.dirty !== false,
    };
  } catch {
    return null;
  }
}
