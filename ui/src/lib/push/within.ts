/** What was waited for did not come in time. */
export class TooLate extends Error {
  constructor() {
    super('It took too long.');
    this.name = 'TooLate';
  }
}

/** Waits so many milliseconds at the most: some promises of browsers never end. Throws {@link TooLate} then. */
export function within<T>(milliseconds: number, what: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TooLate()), milliseconds);
    what.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
