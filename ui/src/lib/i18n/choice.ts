/** Which language the desk speaks on this device: what the person chose, else what the browser asks for, else English. */

/** The languages of the desk, by their own names. */
export const languages = { en: 'English', sk: 'Slovenčina', cs: 'Čeština', pl: 'Polski', de: 'Deutsch' } as const;
export type Code = keyof typeof languages;

const KEY = 'deskbell.language';

export const isCode = (code: unknown): code is Code => typeof code === 'string' && Object.hasOwn(languages, code);

/** The first of these that the desk speaks, whatever its country: `de-AT` is German. */
export function spoken(wanted: readonly string[]): Code {
  for (const one of wanted) {
    const code = one.toLowerCase().split(/[-_]/)[0];
    if (isCode(code)) return code;
  }
  return 'en';
}

/** What the person chose on this device; `null` where they follow the browser. */
export function chosen(): Code | null {
  try {
    const kept = localStorage.getItem(KEY);
    return isCode(kept) ? kept : null;
  } catch {
    return null;
  }
}

/** Keeps what the person chose; `null` follows the browser again. */
export function keep(code: Code | null): void {
  try {
    if (code) localStorage.setItem(KEY, code);
    else localStorage.removeItem(KEY);
  } catch {
    // A browser that keeps nothing speaks it until it is closed.
  }
}

/** Hears that another tab has chosen. */
export function onChoice(hear: () => void): void {
  window.addEventListener('storage', (event) => {
    if (event.key === KEY || event.key === null) hear();
  });
}
