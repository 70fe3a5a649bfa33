/** Puts a word where the cursor stands, in place of what is selected; gives the text and where the cursor stands then. */
export function insertAt(text: string, word: string, from: number, to: number): { text: string; at: number } {
  const before = text.slice(0, from);
  const after = text.slice(to);
  // Words do not run into each other: a space where a letter stands before or behind.
  const lead = /[\p{L}\p{N}]$/u.test(before) ? ' ' : '';
  const trail = /^[\p{L}\p{N}]/u.test(after) ? ' ' : '';
  const put = lead + word + trail;
  return { text: before + put + after, at: before.length + put.length };
}
