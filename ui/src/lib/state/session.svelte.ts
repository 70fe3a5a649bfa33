import { api, ApiProblem, onUnauthorized, type Schemas } from '../api/client';
import { stream } from '../stream/index.svelte';

export type Me = Schemas['Me'];

/** Who is signed in. */
class Session {
  me = $state<Me | null>(null);
  /** `unknown` until the daemon was asked once; `away` where it did not answer. */
  status = $state<'unknown' | 'in' | 'out' | 'away'>('unknown');

  constructor() {
    onUnauthorized(() => {
      if (this.status === 'in') void this.load();
    });
  }

  /** Asks the daemon who this is. */
  async load(): Promise<void> {
    try {
      const { data } = await api.GET('/api/v1/me');
      this.me = data ?? null;
      this.status = data ? 'in' : 'out';
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 401) {
        this.me = null;
        this.status = 'out';
      } else if (this.status === 'unknown') this.status = 'away';
    }
  }

  /** Somebody has just signed in by this answer. */
  begin(me: Me): void {
    this.me = me;
    this.status = 'in';
    stream.restart();
  }

  /** Signs out, here and on the daemon. */
  async end(): Promise<void> {
    // Before the session ends: what rings for this person must not show on a browser that they have left.
    const { browser } = await import('../push/browser.svelte');
    await browser.leave();
    await api.DELETE('/api/v1/session');
    this.me = null;
    this.status = 'out';
    stream.restart();
  }

  /** The id of the person, where one is signed in: who a conversation is assigned to. */
  get userId(): string | null {
    const id = this.me?.id ?? null;
    return id?.startsWith('usr_') ? id : null;
  }

  may(right: 'read' | 'write' | 'admin'): boolean {
    const scopes: string[] = this.me?.scopes ?? [];
    return scopes.includes('admin') || scopes.includes(right) || (right === 'read' && scopes.includes('write'));
  }
}

export const session = new Session();
