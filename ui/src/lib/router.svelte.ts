/** Where the desk is: the path is the state, so that a link, a reload and the back button all work. */
class Router {
  path = $state(location.pathname);
  query = $state(location.search);
  hash = $state(location.hash);

  constructor() {
    addEventListener('popstate', () => this.#read());
    addEventListener('hashchange', () => this.#read());
    document.addEventListener('click', (event) => this.#click(event));
  }

  /** The parts of the path behind `/desk`. */
  get parts(): string[] {
    const parts = this.path.split('/').filter(Boolean).map(decodeURIComponent);
    return parts[0] === 'desk' ? parts.slice(1) : parts;
  }

  /** Goes somewhere in the desk. `replace` leaves no step for the back button. */
  go(to: string, { replace = false } = {}): void {
    const url = new URL(to, location.href);
    if (url.origin !== location.origin) return;
    if (url.href !== location.href) history[replace ? 'replaceState' : 'pushState'](null, '', url);
    this.#read();
  }

  #read(): void {
    this.path = location.pathname;
    this.query = location.search;
    this.hash = location.hash;
  }

  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (!/^\/($|desk\/|desk$|signin$|join$|welcome$)/.test(link.pathname)) return;
    event.preventDefault();
    this.go(link.href);
  }
}

export const router = new Router();

/** A path of this desk to go to after signing in: never another site, never anything but the desk (S11). */
export function safeReturn(wanted: string | null): string {
  if (!wanted || !/^\/(desk(\/[\w\-./%]*)?)?(\?[\w\-.=&%]*)?$/.test(wanted) || /\/{2}/.test(wanted)) return '/';
  // A browser takes `..` and `%2e%2e` for a way out of the desk, and some a slash that is written as `%2f` for one.
  if (/(\.|%2e){2}|%2f|%5c/i.test(wanted)) return '/';
  try {
    decodeURIComponent(wanted);
  } catch {
    return '/';
  }
  return wanted;
}
