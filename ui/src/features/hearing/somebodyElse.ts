let known: string | null = null;

/** Whether this is another person than the one before in this page. Lists and drafts that a page keeps are a person's own. */
export function differs(id: string | undefined): boolean {
  if (id === undefined) return false;
  const other = known !== null && known !== id;
  known = id;
  return other;
}
