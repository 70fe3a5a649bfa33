import { workerUrl } from '../trusted';
import { StreamReader, type DeskEvent, type LineState } from './reader';
import type { FromWorker, ToWorker } from './worker';
import address from './worker?sharedworker&url';

export type { DeskEvent, LineState } from './reader';

type Hear = (event: DeskEvent) => void;

/**
 * The live stream as the components of a tab know it. `reset` is told as an event like the others: whoever keeps a list
 * reads it anew then. After the line was away nothing has to be read anew: the worker resumes where it was.
 */
class Stream {
  state = $state<LineState>('connecting');
  awaySince = $state<number | null>(null);
  #hears = new Map<string, Set<Hear>>();
  #say: ((said: ToWorker) => void) | null = null;

  /** Opens the line: in a worker that all tabs share, or in this tab where the browser has none. */
  open(): void {
    if (this.#say) return;
    if (typeof SharedWorker === 'function') this.#throughWorker();
    else this.#alone();
    addEventListener('online', () => this.#say?.({ say: 'poke' }));
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#say?.({ say: 'poke' });
    });
  }

  /** Somebody else signed in, or the same again: begins the line anew. */
  restart(): void {
    this.#say?.({ say: 'restart' });
  }

  /** Hears of events of a type, `*` of all; what it gives stops that. */
  on(type: string, hear: Hear): () => void {
    let hears = this.#hears.get(type);
    if (!hears) this.#hears.set(type, (hears = new Set()));
    hears.add(hear);
    return () => hears.delete(hear);
  }

  /** Passes an event on. For tests, too. */
  deliver(event: DeskEvent): void {
    for (const type of [event.type, '*']) for (const hear of this.#hears.get(type) ?? []) hear(event);
  }

  #throughWorker(): void {
    const worker = new SharedWorker(workerUrl(address), { type: 'module', name: 'deskbell-stream' });
    worker.port.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
      if ('event' in data) this.deliver(data.event);
      else this.#stands(data.state, data.awaySince);
    });
    worker.port.start();
    this.#say = (said) => worker.port.postMessage(said);
    setInterval(() => this.#say?.({ say: 'here' }), 30_000);
    addEventListener('pagehide', (event) => {
      if (!(event as PageTransitionEvent).persisted) this.#say?.({ say: 'bye' });
    });
  }

  #alone(): void {
    const reader = new StreamReader({
      event: (event) => this.deliver(event),
      state: (state, awaySince) => this.#stands(state, awaySince),
    });
    reader.start();
    this.#say = (said) => {
      if (said.say === 'restart') reader.restart();
      else if (said.say === 'poke') reader.poke();
      else if (said.say === 'bye') reader.end();
    };
  }

  #stands(state: LineState, awaySince: number | null): void {
    this.state = state;
    this.awaySince = awaySince;
  }
}

export const stream = new Stream();
