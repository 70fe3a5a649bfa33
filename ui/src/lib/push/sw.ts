/// <reference lib="webworker" />
import { Bell } from './bell';
import { kept, keptLanguage, keptPushes } from './kept';
import { Turns } from './turns';
import { within } from './within';
import { wordsFor } from './words';

// The desk's service worker, built into one file at `/sw.js`. It rings while the desk is closed, and that is all: it
// answers no request of a page and caches nothing, so that nobody sees yesterday's desk.

const scope = self as unknown as ServiceWorkerGlobalScope;
/** Nothing holds a push up for longer than this, in milliseconds: the next one waits behind it. */
const ANSWER_MS = 10_000;
const BROWSER_MS = 2_000;
/** Made of the worker's own text when it is built. */
const VERSION = '__WORKER_VERSION__';

// Chromium may forget a notification that is shown while it is asked which ones stand there: that one would not go when
// somebody takes the message.
const turns = new Turns(BROWSER_MS);
const bell = new Bell({
  show: (title, options) => turns.take(() => scope.registration.showNotification(title, options)),
  shown: (tag) => turns.take(() => scope.registration.getNotifications(tag === undefined ? {} : { tag })),
  tabs: async () => [...(await scope.clients.matchAll({ type: 'window', includeUncontrolled: true }))],
  openTab: (url) => scope.clients.openWindow(url),
  fetch: (input, init) => scope.fetch(input, { ...init, signal: AbortSignal.timeout(ANSWER_MS) }),
  memory: kept,
  pushes: keptPushes,
  words: async () => wordsFor(await keptLanguage.get(), scope.navigator.languages),
  // Without its maker's push service a browser may never say whether it has a subscription.
  subscription: () => within(BROWSER_MS, scope.registration.pushManager.getSubscription()),
  subscribe: (key) => within(ANSWER_MS, scope.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })),
  badge: (count) => void scope.navigator.setAppBadge?.(count).catch(() => {}),
  later: (milliseconds, what) => setTimeout(what, milliseconds),
  rest: (milliseconds) => new Promise((done) => setTimeout(done, milliseconds)),
  everyPushShows: /safari/i.test(scope.navigator.userAgent) && !/chrom(e|ium)|android/i.test(scope.navigator.userAgent),
});

// The newest worker is the only one, from the moment that it is there.
scope.addEventListener('install', () => void scope.skipWaiting());
scope.addEventListener('activate', (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener('push', (event) => event.waitUntil(bell.push(event.data?.text() ?? null)));
scope.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(bell.clicked(event.action, event.notification.data));
});
scope.addEventListener('pushsubscriptionchange', (event) => {
  const { oldSubscription, newSubscription } = event as unknown as { oldSubscription?: PushSubscription | null; newSubscription?: PushSubscription | null };
  (event as ExtendableEvent).waitUntil(bell.changed(oldSubscription ?? null, newSubscription ?? null));
});
scope.addEventListener('message', (event) => {
  if (event.data === 'version') event.ports[0]?.postMessage(VERSION);
});
