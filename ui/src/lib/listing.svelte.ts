import { ApiProblem, ask } from './api/client';

interface Page<T> {
  data: T[];
  next?: string | null;
}

/** A list of the daemon, page by page. What it holds stays on the screen while it is read anew. */
export class Listing<T> {
  items = $state<T[]>([]);
  next = $state<string | null>(null);
  /** Whether it was read at least once. */
  loaded = $state(false);
  busy = $state(false);
  problem = $state<ApiProblem | null>(null);
  #path: () => string;
  #limit: number;
  #asked = 0;

  /** `path` gives the address with its filters each time it is read. */
  constructor(path: () => string, limit = 50) {
    this.#path = path;
    this.#limit = limit;
  }

  /** Reads from the first page on, as many items as were shown. */
  async load(): Promise<void> {
    const asked = ++this.#asked;
    const wanted = Math.max(this.#limit, this.items.length);
    const found: T[] = [];
    let cursor: string | null = null;
    this.busy = true;
    try {
      do {
        const page: Page<T> = await this.#read(cursor);
        if (asked !== this.#asked) return;
        found.push(...page.data);
        cursor = page.next ?? null;
      } while (cursor && found.length < wanted);
      this.items = found;
      this.next = cursor;
      this.loaded = true;
      this.problem = null;
    } catch (error) {
      if (asked === this.#asked) this.problem = problemOf(error);
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }

  /** Reads the next page. */
  async more(): Promise<void> {
    if (!this.next || this.busy) return;
    const asked = this.#asked;
    this.busy = true;
    try {
      const page = await this.#read(this.next);
      if (asked !== this.#asked) return;
      this.items.push(...page.data);
      this.next = page.next ?? null;
      this.problem = null;
    } catch (error) {
      if (asked === this.#asked) this.problem = problemOf(error);
    } finally {
      if (asked === this.#asked) this.busy = false;
    }
  }

  #read(cursor: string | null): Promise<Page<T>> {
    const path = this.#path();
    const query = new URLSearchParams({ limit: String(Math.min(200, this.#limit)), ...(cursor && { cursor }) });
    return ask<Page<T>>('GET', `${path}${path.includes('?') ? '&' : '?'}${query}`);
  }
}

const problemOf = (error: unknown): ApiProblem =>
  error instanceof ApiProblem ? error : new ApiProblem(-1, { title: String(error), detail: String(error) });
