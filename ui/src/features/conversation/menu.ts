/** How menus look, all alike. */
export const menu = {
  content: 'z-40 max-h-(--bits-dropdown-menu-content-available-height) min-w-52 max-w-80 animate-arrive overflow-auto rounded-xl border border-line bg-panel p-1.5 shadow-float outline-none',
  item: 'flex min-h-8 w-full cursor-default items-center gap-2.5 rounded-lg px-2.5 text-left outline-none select-none data-highlighted:bg-sunk data-disabled:opacity-50 pointer-coarse:min-h-11',
  heading: 'heading px-2.5 pt-2 pb-1',
  line: 'my-1.5 h-px bg-line',
} as const;
