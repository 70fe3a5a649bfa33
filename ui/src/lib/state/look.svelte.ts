/** How the desk looks on this device: kept in the browser, since a screen differs and not a person. */

export type Theme = 'system' | 'light' | 'dark';
export type Density = 'comfortable' | 'compact';

const KEY = 'deskbell.look';

class Look {
  theme = $state<Theme>('system');
  density = $state<Density>('comfortable');

  constructor() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Record<string, unknown>>;
      if (kept.theme === 'light' || kept.theme === 'dark') this.theme = kept.theme;
      if (kept.density === 'compact') this.density = kept.density;
    } catch {
      // What cannot be read is as if nothing were kept.
    }
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#show());
    this.#show();
  }

  set(change: { theme?: Theme; density?: Density }): void {
    if (change.theme) this.theme = change.theme;
    if (change.density) this.density = change.density;
    try {
      localStorage.setItem(KEY, JSON.stringify({ theme: this.theme, density: this.density }));
    } catch {
      // A browser that keeps nothing shows it until it is closed.
    }
    this.#show();
  }

  #show(): void {
    const dark = this.theme === 'dark' || (this.theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
    document.documentElement.dataset.density = this.density;
  }
}

export const look = new Look();
