import { ask } from '../../lib/api/client';
import { session } from '../../lib/state/session.svelte';

const KEY = 'deskbell.welcome';

/** Whether this browser was let in by the set-up link while nobody has an account: then it is asked to make one, once. */
export async function wantsWelcome(): Promise<boolean> {
  if (session.userId || !session.may('admin') || sessionStorage.getItem(KEY)) return false;
  try {
    return (await ask<{ needed: boolean }>('GET', '/api/v1/setup')).needed;
  } catch {
    return false;
  }
}

/** It was seen or skipped: the desk comes from now on. */
export const welcomeSeen = (): void => sessionStorage.setItem(KEY, 'seen');
