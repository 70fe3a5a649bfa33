import { onDestroy } from 'svelte';

/** The time, once a second, only while somebody looks at it. */
class Now {
  time = $state(new Date());
  #users = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Ticks while the component that calls this is there. */
  use(): void {
    if (this.#users++ === 0) {
      this.time = new Date();
      this.#timer = setInterval(() => (this.time = new Date()), 1000);
    }
    onDestroy(() => {
      if (--this.#users === 0) clearInterval(this.#timer);
    });
  }
}

export const now = new Now();
