/** How long a code is good for, as `9:05`; null once it has run out. */
export function left(expiresAt: string, now: Date): string | null {
  const rest = Date.parse(expiresAt) - now.getTime();
  if (!(rest > 0)) return null;
  const seconds = Math.floor(rest / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** The device that has come since: a companion that was not there when the code was made. */
export function newcomer<T extends { id: string; kind: string }>(before: ReadonlySet<string>, devices: readonly T[]): T | undefined {
  return devices.find((device) => device.kind === 'desktop' && !before.has(device.id));
}
