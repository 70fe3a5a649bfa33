import type { Sort } from './filter';

/**
 * Ids in the order of a view: by time, then by id, as the daemon orders them. A change looks only where it has to, so that
 * it costs the same in a list of fifty thousand as in a short one, but for moving the ids behind it.
 */
export class Ranking {
  readonly #ids: string[] = [];
  readonly #times = new Map<string, number>();
  readonly #newestFirst: boolean;

  constructor(sort: Sort) {
    this.#newestFirst = sort === 'activity';
  }

  get ids(): readonly string[] {
    return this.#ids;
  }

  get length(): number {
    return this.#ids.length;
  }

  has(id: string): boolean {
    return this.#times.has(id);
  }

  timeOf(id: string): number | undefined {
    return this.#times.get(id);
  }

  /** Puts an id where its time says, or moves it there. Whether anything changed. */
  put(id: string, time: number): boolean {
    const known = this.#times.get(id);
    if (known === time) return false;
    if (known !== undefined) this.#ids.splice(this.#place(id, known), 1);
    this.#times.set(id, time);
    this.#ids.splice(this.#place(id, time), 0, id);
    return true;
  }

  remove(id: string): boolean {
    const time = this.#times.get(id);
    if (time === undefined) return false;
    this.#ids.splice(this.#place(id, time), 1);
    this.#times.delete(id);
    return true;
  }

  /** Where an id with this time would stand. */
  #place(id: string, time: number): number {
    let low = 0;
    let high = this.#ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#ids[middle] as string;
      if (this.#before(other, this.#times.get(other) as number, id, time)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether one stands before the other. */
  #before(one: string, oneTime: number, other: string, otherTime: number): boolean {
    if (oneTime !== otherTime) return this.#newestFirst ? oneTime > otherTime : oneTime < otherTime;
    return this.#newestFirst ? one > other : one < other;
  }

  /** Whether an id with this time would stand behind everything here. */
  isBehindAll(id: string, time: number): boolean {
    const last = this.#ids.at(-1);
    return last !== undefined && this.#before(last, this.#times.get(last) as number, id, time);
  }
}

/** The first place at which two lists differ; the length of the shorter where it is the beginning of the other. */
export function firstDifference(one: readonly string[], other: readonly string[], from = 0, to = Infinity): number {
  const end = Math.min(one.length, other.length, to);
  let at = from;
  while (at < end && one[at] === other[at]) at += 1;
  return at;
}

/** The part of a list of rows of one height that has to be there: `[first, behind the last]`. */
export function visibleRange(scrollTop: number, height: number, rowHeight: number, count: number, overscan = 6): [number, number] {
  const first = Math.max(0, Math.floor(scrollTop / rowHeight) - overscan);
  const end = Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + overscan);
  return [Math.min(first, end), end];
}
