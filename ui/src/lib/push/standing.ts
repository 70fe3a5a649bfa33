/** How a browser stands to push notifications. Pure: what the browser says comes in. */
export type PushState =
  /** Not looked yet. */
  | 'unknown'
  /** The daemon cannot. */
  | 'cannot'
  /** Browsers take them from pages with https only. */
  | 'insecure'
  /** On iPhones and iPads only an app on the Home Screen can. */
  | 'homescreen'
  | 'unsupported'
  /** The person, or whoever keeps the machine, said no. */
  | 'denied'
  | 'off'
  | 'on';

export interface Abilities {
  secure: boolean;
  worker: boolean;
  push: boolean;
  notifications: boolean;
  permission: NotificationPermission;
  apple: boolean;
  /** Whether this browser is a device of the person who is signed in. */
  subscribed: boolean;
}

export function standing(able: Abilities): PushState {
  if (!able.secure) return 'insecure';
  if (!able.worker || !able.push || !able.notifications) return able.apple ? 'homescreen' : 'unsupported';
  if (able.permission === 'denied') return 'denied';
  return able.subscribed && able.permission === 'granted' ? 'on' : 'off';
}

/** Whether two keys are the same bytes; the browser gives its own as a buffer. */
export function sameKey(one: ArrayBuffer | null | undefined, other: Uint8Array): boolean {
  if (!one) return false;
  const bytes = new Uint8Array(one);
  return bytes.length === other.length && bytes.every((byte, n) => byte === other[n]);
}
