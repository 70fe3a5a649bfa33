import { within } from './within';

/** What must not overlap, one after the other in the order of asking. */
export class Turns {
  #last: Promise<void> = Promise.resolve();
  readonly #longestMs: number;

  /** What fails, or takes longer than so many milliseconds, holds nobody up. */
  constructor(longestMs: number) {
    this.#longestMs = longestMs;
  }

  take<T>(what: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#last = this.#last.then(async () => {
        // A throw at once is a rejection as well.
        const going = (async () => what())();
        going.then(resolve, reject);
        await within(this.#longestMs, going).catch(() => {});
      });
    });
  }
}
