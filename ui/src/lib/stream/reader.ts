import { SseParser } from './parse';

/** How the line to the daemon stands. */
export type LineState = 'connecting' | 'live' | 'away' | 'signed-out';

/** An event of the desk, as the daemon's stream carries it. `seq` is null for what is not in the log. */
export interface DeskEvent {
  seq: number | null;
  type: string;
  at: string;
  data: Record<string, unknown>;
}

/** What is delivered where it is no longer known what was missed: everybody reads their lists anew. */
export const readAnew = (): DeskEvent => ({ seq: null, type: 'reset', at: new Date().toISOString(), data: {} });

export interface ReaderHears {
  event(event: DeskEvent): void;
  /** `away` since when, in milliseconds of the clock; null while the line is fine. */
  state(state: LineState, awaySince: number | null): void;
}

/** A daemon that lives says something every 15 s; after this long it is taken for gone. */
const SILENCE_MS = 25_000;
/** Whoever asks for news when it has said nothing for so long does not wait for the rest. */
const DOUBTFUL_MS = 17_000;
/** Headers that take longer than this never come. */
const ANSWER_MS = 15_000;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 8_000;

/**
 * Reads the live stream by `fetch`, since `EventSource` gives up for good on a 503. It resumes by the number of the last
 * event, so that nothing is missed and nothing comes twice.
 */
export class StreamReader {
  #hears: ReaderHears;
  #fetch: typeof fetch;
  #last: number | null = null;
  #abort: AbortController | null = null;
  #wake: (() => void) | null = null;
  /** Not to rest before the next try. */
  #atOnce = false;
  #heardAt = 0;
  #ended = false;
  #hasLived = false;
  #state: LineState = 'connecting';
  #awaySince: number | null = null;

  constructor(hears: ReaderHears, fetcher: typeof fetch = (...of) => globalThis.fetch(...of)) {
    this.#hears = hears;
    this.#fetch = fetcher;
  }

  get state(): LineState {
    return this.#state;
  }

  get awaySince(): number | null {
    return this.#awaySince;
  }

  /** The number of the last event that was heard. */
  get last(): number | null {
    return this.#last;
  }

  start(): void {
    void this.#run();
  }

  /** Tries at once: the network is back, the laptop woke, somebody signed in. A line that lives is left alone. */
  poke(): void {
    if (this.#wake) this.#wake();
    else if (this.#state === 'live' && this.#silent() > DOUBTFUL_MS) {
      this.#atOnce = true;
      this.#abort?.abort();
    }
  }

  /** Ends the line and begins it anew, as another person perhaps. */
  restart(): void {
    this.#last = null;
    this.#atOnce = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  #tell(state: LineState): void {
    if (state === 'live') this.#awaySince = null;
    else if (this.#state === 'live' || this.#awaySince === null) this.#awaySince = Date.now();
    if (state === this.#state) return;
    this.#state = state;
    this.#hears.state(state, this.#awaySince);
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#ended) {
      let wait = 0;
      try {
        wait = await this.#read(() => (failures = 0));
      } catch {
        // Cut, refused, silent: all the same to the person; the next try is what matters.
      }
      if (this.#ended) return;
      if (this.#state !== 'signed-out') this.#tell('away');
      if (this.#atOnce) {
        this.#atOnce = false;
        continue;
      }
      failures += 1;
      const grown = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1));
      await this.#rest(Math.max(wait, grown * (0.5 + Math.random() / 2)));
    }
  }

  /** Reads until the line ends; how long the daemon asks to wait, in milliseconds. */
  async #read(lives: () => void): Promise<number> {
    const abort = (this.#abort = new AbortController());
    const mine = () => this.#abort === abort && !abort.signal.aborted;
    this.#heardAt = Date.now();
    let longest = ANSWER_MS;
    const watch = setInterval(() => {
      if (this.#silent() > longest) abort.abort();
    }, 2_000);
    try {
      const anew = this.#last === null;
      const query = this.#last === null ? '' : `?after=${this.#last}`;
      const response = await this.#fetch(`/api/v1/events${query}`, {
        headers: { accept: 'text/event-stream' },
        cache: 'no-store',
        signal: abort.signal,
      });
      if (response.status === 401 || response.status === 403) {
        void response.body?.cancel().catch(() => {});
        this.#tell('signed-out');
        return LONGEST_WAIT_MS;
      }
      if (!response.ok || !response.body) {
        void response.body?.cancel().catch(() => {});
        if (this.#state === 'signed-out') this.#tell('away');
        return Math.min(10, Math.max(0, Number(response.headers.get('retry-after')) || 0)) * 1000;
      }
      const parser = new SseParser();
      const decoder = new TextDecoder();
      const body = response.body.getReader();
      longest = SILENCE_MS;
      for (let isFirst = true; ; isFirst = false) {
        const { done, value } = await body.read();
        // What was on its way when the line was begun anew belongs to the old one.
        if (done || !mine()) return 0;
        this.#heardAt = Date.now();
        const events = parser.push(decoder.decode(value, { stream: true }));
        // Cut before the first event, the next line begins where this one did.
        this.#last ??= parser.position;
        if (isFirst) {
          // Only now: who reads a list before the place is known where the line begins may miss what comes in between.
          lives();
          this.#tell('live');
          if (anew && this.#hasLived) this.#hears.event(readAnew());
          this.#hasLived = true;
        }
        for (const event of events) this.#take(event.id, event.data);
      }
    } finally {
      clearInterval(watch);
      abort.abort();
    }
  }

  /** For how long nothing was heard, in milliseconds. A clock that was set back begins to count anew. */
  #silent(): number {
    const now = Date.now();
    if (now < this.#heardAt) this.#heardAt = now;
    return now - this.#heardAt;
  }

  #take(id: string | null, data: string): void {
    let event: unknown;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof event !== 'object' || event === null) return;
    const told = event as Partial<DeskEvent>;
    const seq = id === null ? null : Number(id);
    if (seq !== null) {
      if (!Number.isSafeInteger(seq)) return;
      if (told.type !== 'reset' && this.#last !== null && seq <= this.#last) return;
      this.#last = seq;
    }
    this.#hears.event({ seq, type: String(told.type ?? ''), at: String(told.at ?? ''), data: told.data ?? {} });
  }

  #rest(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#wake = done;
    });
  }
}
