import { readAnew, type DeskEvent, type LineState, type StreamReader } from './reader';

/** What a tab says to the worker. `alarm`: wake it at this time, since the timers of a hidden tab are held back. */
export type ToWorker = { say: 'restart' | 'poke' | 'bye' | 'here' } | { say: 'alarm'; at: number | null };
/** What the worker says to a tab. */
export type FromWorker = { event: DeskEvent } | { state: LineState; awaySince: number | null } | { alarm: true };

/** What of a `MessagePort` is used. */
export interface Port {
  postMessage(said: FromWorker): void;
}

/** A tab that crashes says no good-bye, one that the browser has frozen says nothing: after this long it is left out. */
const GONE_MS = 150_000;
const SWEEP_MS = 30_000;

interface Tab {
  heardAt: number;
  alarm: ReturnType<typeof setTimeout> | undefined;
}

/** The tabs that share one line. */
export class Tabs {
  #tabs = new Map<Port, Tab>();
  /** Those that were left out: when one speaks again, it has missed something. */
  #left = new WeakSet<Port>();
  #reader: Pick<StreamReader, 'state' | 'awaySince' | 'restart' | 'poke'>;
  #now: () => number;
  #sweptAt: number;

  constructor(reader: Pick<StreamReader, 'state' | 'awaySince' | 'restart' | 'poke'>, now: () => number) {
    this.#reader = reader;
    this.#now = now;
    this.#sweptAt = now();
  }

  get size(): number {
    return this.#tabs.size;
  }

  tell(said: FromWorker): void {
    for (const port of this.#tabs.keys()) port.postMessage(said);
  }

  join(port: Port): void {
    this.#tabs.set(port, { heardAt: this.#now(), alarm: undefined });
    port.postMessage({ state: this.#reader.state, awaySince: this.#reader.awaySince });
  }

  hear(port: Port, said: ToWorker): void {
    if (said.say === 'bye') return this.#leave(port);
    const known = this.#tabs.get(port);
    if (known) known.heardAt = this.#now();
    else {
      this.join(port);
      if (this.#left.delete(port)) port.postMessage({ event: readAnew() });
    }
    if (said.say === 'restart') {
      this.#reader.restart();
      // As another person perhaps: what every tab shows was the other's.
      this.tell({ event: readAnew() });
    } else if (said.say === 'poke') this.#reader.poke();
    else if (said.say === 'alarm') this.#alarm(port, said.at);
  }

  /** Leaves out who has not been heard of. Called every 30 s. */
  sweep(): void {
    const now = this.#now();
    // The machine slept, this worker with it: nobody had the chance to say anything.
    const slept = now - this.#sweptAt > 2 * SWEEP_MS || now < this.#sweptAt;
    this.#sweptAt = now;
    for (const [port, tab] of this.#tabs) {
      if (slept) tab.heardAt = now;
      else if (now - tab.heardAt > GONE_MS) this.#leave(port);
    }
  }

  #leave(port: Port): void {
    clearTimeout(this.#tabs.get(port)?.alarm);
    this.#tabs.delete(port);
    this.#left.add(port);
  }

  #alarm(port: Port, at: number | null): void {
    const tab = this.#tabs.get(port);
    if (!tab) return;
    clearTimeout(tab.alarm);
    tab.alarm = at === null ? undefined : setTimeout(() => port.postMessage({ alarm: true }), Math.min(Math.max(0, at - this.#now()), 3_600_000));
  }
}
