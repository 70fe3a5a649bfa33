/** A browser's long name in two words, as `Firefox on Windows`; null where it cannot be told. */
export function browserOf(agent: string | null | undefined): { browser: string; system: string | null } | null {
  if (!agent) return null;
  const browser = BROWSERS.find(([sign]) => agent.includes(sign))?.[1];
  const system = SYSTEMS.find(([sign]) => agent.includes(sign))?.[1] ?? null;
  return browser ? { browser, system } : null;
}

// In this order: most of them name others beside themselves.
const BROWSERS: readonly (readonly [string, string])[] = [
  ['Edg/', 'Edge'], ['OPR/', 'Opera'], ['SamsungBrowser', 'Samsung Internet'], ['Firefox/', 'Firefox'], ['FxiOS', 'Firefox'], ['CriOS', 'Chrome'],
  ['Chrome/', 'Chrome'], ['Safari/', 'Safari'], ['curl/', 'curl'],
];
const SYSTEMS: readonly (readonly [string, string])[] = [
  ['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Android', 'Android'], ['Windows', 'Windows'], ['Mac OS X', 'macOS'], ['CrOS', 'ChromeOS'], ['Linux', 'Linux'],
];
