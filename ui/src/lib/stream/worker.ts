/// <reference lib="webworker" />
import { StreamReader, type DeskEvent, type LineState } from './reader';

/** What a tab says to the worker. */
export type ToWorker = { say: 'restart' } | { say: 'poke' } | { say: 'bye' } | { say: 'here' };
/** What the worker says to a tab. */
export type FromWorker = { event: DeskEvent } | { state: LineState; awaySince: number | null };

// One stream for all tabs of the desk: a browser opens six connections to a host at the most, and each would cost the
// daemon a stream.
const scope = self as unknown as SharedWorkerGlobalScope;
/** The tabs, and when each was last heard of: a tab that crashes says no good-bye. */
const tabs = new Map<MessagePort, number>();
const GONE_MS = 90_000;

function tell(said: FromWorker): void {
  for (const tab of tabs.keys()) tab.postMessage(said);
}

const reader = new StreamReader({
  event: (event) => tell({ event }),
  state: (state, awaySince) => tell({ state, awaySince }),
});
reader.start();

scope.addEventListener('connect', (connected) => {
  const tab = connected.ports[0];
  if (!tab) return;
  tabs.set(tab, Date.now());
  tab.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
    tabs.set(tab, Date.now());
    if (data.say === 'restart') reader.restart();
    else if (data.say === 'poke') reader.poke();
    else if (data.say === 'bye') tabs.delete(tab);
  });
  tab.start();
  tab.postMessage({ state: reader.state, awaySince: reader.awaySince } satisfies FromWorker);
});

setInterval(() => {
  for (const [tab, heardAt] of tabs) if (Date.now() - heardAt > GONE_MS) tabs.delete(tab);
}, 30_000);

addEventListener('online', () => reader.poke());
