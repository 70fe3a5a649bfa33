import type { Sort } from './filter';

/** A part of the list is split where it has more than this; moving the ids behind a place costs the less the shorter it is. */
const MOST_IN_PART = 512;

/**
 * Ids in the order of a view: by time, then by id, as the daemon orders them. The list is kept in short parts, so that a
 * change costs nearly the same among fifty thousand as among fifty; read as a whole it is put together once a change.
 */
export class Ranking {
  readonly #parts: string[][] = [];
  readonly #times = new Map<string, number>();
  readonly #newestFirst: boolean;
  #whole: readonly string[] | null = [];

  constructor(sort: Sort) {
    this.#newestFirst = sort === 'activity';
  }

  /** All of them in order; the same array until something changes. */
  get ids(): readonly string[] {
    // Faster than `flat`, which looks at each id.
    return (this.#whole ??= ([] as string[]).concat(...this.#parts));
  }

  get length(): number {
    return this.#times.size;
  }

  has(id: string): boolean {
    return this.#times.has(id);
  }

  timeOf(id: string): number | undefined {
    return this.#times.get(id);
  }

  /** Puts an id where its time says, or moves it there. Whether anything changed. */
  put(id: string, time: number): boolean {
    if (this.#times.get(id) === time) return false;
    this.remove(id);
    this.#times.set(id, time);
    this.#whole = null;
    const at = Math.max(0, this.#partOf(id, time));
    const part = this.#parts[at];
    if (!part) {
      this.#parts.push([id]);
      return true;
    }
    part.splice(this.#placeIn(part, id, time), 0, id);
    if (part.length > MOST_IN_PART) this.#parts.splice(at + 1, 0, part.splice(part.length >>> 1));
    return true;
  }

  remove(id: string): boolean {
    const time = this.#times.get(id);
    if (time === undefined) return false;
    const at = this.#partOf(id, time);
    const part = this.#parts[at] as string[];
    part.splice(this.#placeIn(part, id, time), 1);
    if (part.length === 0) this.#parts.splice(at, 1);
    this.#times.delete(id);
    this.#whole = null;
    return true;
  }

  /** Whether an id with this time would stand behind everything here. */
  isBehindAll(id: string, time: number): boolean {
    const last = this.#parts.at(-1)?.at(-1);
    return last !== undefined && this.#isBefore(last, id, time);
  }

  /** The last part whose first id does not stand behind this one; -1 where it would be the first of all. */
  #partOf(id: string, time: number): number {
    let low = 0;
    let high = this.#parts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = (this.#parts[middle] as string[])[0] as string;
      if (first === id || this.#isBefore(first, id, time)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #placeIn(part: readonly string[], id: string, time: number): number {
    let low = 0;
    let high = part.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isBefore(part[middle] as string, id, time)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether one that is here stands before another with this time. */
  #isBefore(one: string, other: string, otherTime: number): boolean {
    const time = this.#times.get(one) as number;
    if (time !== otherTime) return this.#newestFirst ? time > otherTime : time < otherTime;
    return this.#newestFirst ? one > other : one < other;
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
