/** What is being looked for at the cursor: a saved reply by `/`, a colleague by `@`. */
export interface Looking {
  what: 'reply' | 'person';
  search: string;
  /** Where the sign stands: from there to the cursor is what a choice replaces. */
  from: number;
}

/** Reads what stands before the cursor. A reply is looked for only at the beginning of a line, a person behind a blank. */
export function lookingFor(text: string, cursor: number, note: boolean): Looking | null {
  const before = text.slice(Math.max(0, cursor - 60), cursor);
  const offset = Math.max(0, cursor - 60);
  const line = before.slice(before.lastIndexOf('\n') + 1);
  if (!note) {
    // A path or a date has a slash, too: at the very beginning of the line it is neither.
    const found = /^\/([^\s/][^/\n]{0,38}|)$/u.exec(line);
    if (found && (offset === 0 || before.includes('\n'))) return { what: 'reply', search: found[1] ?? '', from: cursor - line.length };
    return null;
  }
  const found = /(?:^|[\s(])@([\p{L}\p{M}\p{N}._-]{0,30}(?: [\p{L}\p{M}\p{N}._-]{0,30})?)$/u.exec(line);
  return found ? { what: 'person', search: found[1] ?? '', from: cursor - (found[1] ?? '').length - 1 } : null;
}
