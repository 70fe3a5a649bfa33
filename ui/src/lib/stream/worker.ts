/// <reference lib="webworker" />
import { StreamReader } from './reader';
import { Tabs, type ToWorker } from './tabs';

// One stream for all tabs of the desk: a browser opens six connections to a host at the most, and each would cost the
// daemon a stream.
const scope = self as unknown as SharedWorkerGlobalScope;
const reader: StreamReader = new StreamReader({
  event: (event) => tabs.tell({ event }),
  state: (state, awaySince) => tabs.tell({ state, awaySince }),
});
const tabs = new Tabs(reader, () => Date.now());
reader.start();

scope.addEventListener('connect', (connected) => {
  const tab = connected.ports[0];
  if (!tab) return;
  tab.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => tabs.hear(tab, data));
  tab.start();
  tabs.join(tab);
});

setInterval(() => tabs.sweep(), 30_000);

addEventListener('online', () => reader.poke());
