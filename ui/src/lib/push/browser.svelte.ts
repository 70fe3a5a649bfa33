import { browserOf } from '../../features/settings/you/agent';
import { ApiProblem, ask } from '../api/client';
import { t } from '../i18n/index.svelte';
import { router } from '../router.svelte';
import { session } from '../state/session.svelte';
import { workerUrl } from '../trusted';
import { bytesOf } from './bytes';
import { kept } from './kept';
import { sameKey, standing, type PushState } from './standing';
import { TooLate, within } from './within';

/** A device as the daemon tells of it. */
export interface Device {
  id: string;
  user_id: string;
  kind: 'web-push' | 'desktop';
  name: string;
  created_at: string;
  last_seen_at: string | null;
  last_shown_at: string | null;
  confirmed_at: string | null;
  state: 'working' | 'unconfirmed' | 'failing';
  /** Why it fails, in words. */
  detail: string | null;
}

/** Why notifications could not be turned on. */
export type Trouble = 'denied' | 'dismissed' | 'unreachable' | 'refused' | 'worker';

export class PushTrouble extends Error {
  readonly why: Trouble;
  constructor(why: Trouble, detail = '') {
    super(detail);
    this.why = why;
  }
}

/** A browser that cannot reach its maker's push service never answers. */
const SUBSCRIBE_MS = 20_000;
const WORKER_MS = 10_000;
/** Signing out does not wait longer than this for it. */
const LEAVE_MS = 3_000;
/** Whether all is as it was is looked at when the desk stands, in milliseconds. */
const SETTLED_MS = 5_000;

/** What Chromium offers where the page can be installed. */
interface InstallPrompt extends Event {
  prompt(): Promise<unknown>;
}

/** This browser as a device that rings while the desk is closed, and the desk as an app. */
class Browser {
  state = $state<PushState>('unknown');
  /** `dev_…`, where it is one. */
  id = $state<string | null>(null);
  installable = $state(false);
  #prompt: InstallPrompt | null = null;
  #started = false;

  /** The worker is there from the first visit on, and led tabs hear it. Only once. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    addEventListener('beforeinstallprompt', (event) => {
      event.preventDefault();
      this.#prompt = event as InstallPrompt;
      this.installable = true;
    });
    addEventListener('appinstalled', () => (this.installable = false));
    if (!('serviceWorker' in navigator)) return;
    navigator.serviceWorker.addEventListener('message', ({ data, ports }: MessageEvent) => {
      const to: unknown = typeof data === 'object' && data !== null && 'go' in data ? data.go : null;
      if (typeof to !== 'string' || !to.startsWith('/')) return;
      ports[0]?.postMessage('heard');
      router.go(to);
    });
    navigator.serviceWorker.startMessages();
    void this.#worker().catch(() => {});
    setTimeout(() => void this.keep().catch(() => {}), SETTLED_MS);
  }

  async install(): Promise<void> {
    await this.#prompt?.prompt();
    this.#prompt = null;
    this.installable = false;
  }

  /** How this browser stands now. */
  async look(): Promise<void> {
    const known = await kept.get();
    const own = known?.user === session.userId ? known : null;
    const subscription = own ? await this.#subscription() : null;
    this.id = own && subscription ? own.id : null;
    this.state = standing({
      secure: isSecureContext,
      worker: 'serviceWorker' in navigator,
      push: 'PushManager' in globalThis,
      notifications: 'Notification' in globalThis,
      permission: 'Notification' in globalThis ? Notification.permission : 'default',
      apple: /iPhone|iPad/.test(navigator.userAgent) || (/Mac/.test(navigator.userAgent) && navigator.maxTouchPoints > 1),
      subscribed: this.id !== null,
    });
    if (this.state !== 'off' && this.state !== 'on') return;
    try {
      await ask('GET', '/api/v1/push-key');
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 404) this.state = 'cannot';
    }
  }

  /** By a click: asks the person, then the browser, then tells the daemon. Throws {@link PushTrouble}, or the daemon's problem. */
  async turnOn(): Promise<Device> {
    // First of all: browsers ask only just after a click.
    const permission = await Notification.requestPermission();
    if (permission !== 'granted') {
      if (permission === 'denied') this.state = 'denied';
      throw new PushTrouble(permission === 'denied' ? 'denied' : 'dismissed');
    }
    const { key } = await ask<{ key: string }>('GET', '/api/v1/push-key');
    const subscription = await this.#subscribe(bytesOf(key));
    return this.#register(subscription);
  }

  /** No more notifications here. */
  async turnOff(): Promise<void> {
    const id = this.id ?? (await kept.get())?.id;
    if (id) await ask('DELETE', `/api/v1/devices/${encodeURIComponent(id)}`).catch(orGone);
    await this.forget();
  }

  /** The browser's side of it alone: the daemon knows already. */
  async forget(): Promise<void> {
    await kept.set(null);
    await (await this.#subscription())?.unsubscribe().catch(() => {});
    this.id = null;
    if (this.state === 'on') this.state = 'off';
  }

  /** Whoever signs out is rung here no more: the next at this browser may be somebody else. Never fails, never takes long. */
  async leave(): Promise<void> {
    if (!(await kept.get())) return;
    await within(LEAVE_MS, this.turnOff()).catch(() => {});
  }

  /** What was turned on stays so: after the desk's key has changed, too, and not for another person, or once it was removed elsewhere. */
  async keep(): Promise<void> {
    const known = await kept.get();
    if (!known || !session.userId) return;
    if (known.user !== session.userId) return this.forget();
    const { data } = await ask<{ data: Device[] }>('GET', '/api/v1/devices?limit=200');
    if (!data.some(({ id }) => id === known.id)) return this.forget();
    const subscription = await this.#subscription();
    if (!subscription || Notification.permission !== 'granted') return;
    const key = bytesOf((await ask<{ key: string }>('GET', '/api/v1/push-key')).key);
    if (sameKey(subscription.options.applicationServerKey, key)) return;
    await this.#register(await this.#subscribe(key));
    await ask('DELETE', `/api/v1/devices/${encodeURIComponent(known.id)}`).catch(orGone);
  }

  async #subscribe(key: Uint8Array<ArrayBuffer>): Promise<PushSubscription> {
    const { pushManager } = await this.#worker().catch((error: unknown) => {
      throw new PushTrouble('worker', error instanceof Error ? error.message : String(error));
    });
    const there = await pushManager.getSubscription();
    if (there && sameKey(there.options.applicationServerKey, key)) return there;
    await there?.unsubscribe();
    try {
      return await within(SUBSCRIBE_MS, pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
    } catch (error) {
      if (error instanceof TooLate) throw new PushTrouble('unreachable');
      throw new PushTrouble('refused', error instanceof Error ? error.message : String(error));
    }
  }

  async #register(subscription: PushSubscription): Promise<Device> {
    const { endpoint, keys } = subscription.toJSON();
    const name = this.#name();
    const device = await ask<Device>('POST', '/api/v1/devices', { kind: 'web-push', name, subscription: { endpoint, keys } });
    await kept.set({ id: device.id, user: session.userId ?? device.user_id, name });
    this.id = device.id;
    this.state = 'on';
    return device;
  }

  #name(): string {
    const known = browserOf(navigator.userAgent);
    if (!known) return t('devices.aBrowser');
    return known.system ? t('you.sessions.on', { browser: known.browser, system: known.system }) : known.browser;
  }

  async #subscription(): Promise<PushSubscription | null> {
    if (!('serviceWorker' in navigator)) return null;
    const registration = await navigator.serviceWorker.getRegistration('/');
    return (await registration?.pushManager?.getSubscription()) ?? null;
  }

  /** The worker, once it runs. */
  async #worker(): Promise<ServiceWorkerRegistration> {
    await navigator.serviceWorker.register(workerUrl('/sw.js'), { scope: '/', updateViaCache: 'none' });
    return within(WORKER_MS, navigator.serviceWorker.ready);
  }
}

function orGone(error: unknown): void {
  if (!(error instanceof ApiProblem) || error.status !== 404) throw error;
}

export const browser = new Browser();
