import { workerUrl } from '../trusted';
import { readAnew, StreamReader, type DeskEvent, type LineState } from './reader';
import type { FromWorker, ToWorker } from './tabs';
import address from './worker?sharedworker&url';

export type { DeskEvent, LineState } from './reader';

type Hear = (event: DeskEvent) => void;

/** A worker that runs answers within a blink. One that says nothing for so long never will. */
const DUMB_MS = 10_000;

/**
 * The live stream as the components of a tab know it. `reset` is told as an event like the others: whoever keeps a list
 * reads it anew then. After the line was away nothing has to be read anew: the worker resumes where it was.
 */
class Stream {
  state = $state<LineState>('connecting');
  awaySince = $state<number | null>(null);
  #wasLive = false;
  #hears = new Map<string, Set<Hear>>();
  #alarms = new Set<() => void>();
  #say: ((said: ToWorker) => void) | null = null;

  /** Opens the line: in a worker that all tabs share, or in this tab where the browser has none. */
  open(): void {
    if (this.#say) return;
    if (typeof SharedWorker === 'function') this.#throughWorker();
    else this.#alone();
    addEventListener('online', () => this.poke());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.poke();
    });
  }

  /** Somebody else signed in, or the same again: begins the line anew. Every tab hears `reset`. */
  restart(): void {
    this.#say?.({ say: 'restart' });
  }

  /** Tries at once, where the line is away. */
  poke(): void {
    this.#say?.({ say: 'poke' });
  }

  /**
   * Rings those who called {@link onAlarm} at this time, in milliseconds of the clock, also in a tab that is hidden;
   * null rings nobody. There is one alarm a tab.
   */
  alarm(at: number | null): void {
    this.#say?.({ say: 'alarm', at });
  }

  onAlarm(hear: () => void): () => void {
    this.#alarms.add(hear);
    return () => this.#alarms.delete(hear);
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
    for (const type of [event.type, '*']) {
      for (const hear of this.#hears.get(type) ?? []) {
        try {
          hear(event);
        } catch (error) {
          // One that stumbles must not keep the event from the others.
          reportError(error);
        }
      }
    }
  }

  #throughWorker(): void {
    const worker = new SharedWorker(workerUrl(address), { type: 'module', name: 'deskbell-stream' });
    let lives = false;
    const giveUp = () => {
      if (lives) return;
      lives = true;
      clearTimeout(dumb);
      clearInterval(here);
      worker.port.close();
      this.#alone();
    };
    const dumb = setTimeout(giveUp, DUMB_MS);
    worker.addEventListener('error', giveUp);
    worker.port.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
      lives = true;
      clearTimeout(dumb);
      if ('event' in data) this.deliver(data.event);
      else if ('alarm' in data) this.#ring();
      else this.#stands(data.state, data.awaySince);
    });
    worker.port.start();
    this.#say = (said) => worker.port.postMessage(said);
    const here = setInterval(() => this.#say?.({ say: 'here' }), 30_000);
    // A page that the browser keeps for the back button hears nothing meanwhile: it says good-bye, too, and when it
    // comes back the worker tells it to read anew.
    addEventListener('pagehide', () => this.#say?.({ say: 'bye' }));
    window.addEventListener('pageshow', (event) => {
      if (event.persisted) this.poke();
    });
    document.addEventListener('resume', () => this.poke());
  }

  #alone(): void {
    const reader = new StreamReader({
      event: (event) => this.deliver(event),
      state: (state, awaySince) => this.#stands(state, awaySince),
    });
    reader.start();
    let alarm: ReturnType<typeof setTimeout> | undefined;
    this.#say = (said) => {
      if (said.say === 'restart') {
        reader.restart();
        this.deliver(readAnew());
      } else if (said.say === 'poke') reader.poke();
      else if (said.say === 'bye') reader.end();
      else if (said.say === 'alarm') {
        clearTimeout(alarm);
        if (said.at !== null) alarm = setTimeout(() => this.#ring(), Math.max(0, said.at - Date.now()));
      }
    };
  }

  #ring(): void {
    for (const hear of this.#alarms) hear();
  }

  #stands(state: LineState, awaySince: number | null): void {
    this.state = state;
    this.awaySince = awaySince;
    // The first time: what was read before the line was there may miss what came in between.
    if (state !== 'live' || this.#wasLive) return;
    this.#wasLive = true;
    this.deliver(readAnew());
  }
}

export const stream = new Stream();
