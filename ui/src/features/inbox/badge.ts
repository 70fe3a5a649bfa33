/** The number of those who wait, where a tab among many shows it: in its title and on its icon. */

const NAME = 'Deskbell';

/** The icon with a number on it; as it is where nobody waits. */
export function icon(count: number): string {
  if (count === 0) return '/icon.svg';
  const words = count > 99 ? '99' : String(count);
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g fill="none" stroke="#c2410c" stroke-width="2" stroke-linecap="round"><path d="M4 18h16M6 18a6 6 0 0 1 12 0M12 9V6m-2 0h4"/></g>` +
    `<circle cx="16.5" cy="7.5" r="7.5" fill="#c2410c"/><text x="16.5" y="${words.length > 1 ? 11 : 11.6}" font-family="system-ui,sans-serif" font-size="${words.length > 1 ? 9.5 : 11.5}" font-weight="700" text-anchor="middle" fill="#fff">${words}</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

export const title = (count: number): string => (count > 0 ? `(${count > 999 ? '999+' : count}) ${NAME}` : NAME);

export function badge(count: number): void {
  document.title = title(count);
  document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.setAttribute('href', icon(count));
}
