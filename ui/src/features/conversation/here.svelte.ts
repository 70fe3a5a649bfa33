import { ApiProblem, ask } from '../../lib/api/client';

type State = 'viewing' | 'typing' | 'noting' | 'left';

const BEAT_MS = 20_000;
/** The customer is told again that somebody types this often: platforms forget after a few seconds. */
const TYPING_MS = 5_000;

/** A daemon that knows of no presence answers 404: it is not told again. */
let known = true;

/** Tells colleagues that somebody is at a conversation, and the customer that somebody types. */
export class Here {
  #id: string | null = null;
  #state: State = 'viewing';
  #timer: ReturnType<typeof setInterval> | undefined;
  #typingAt = 0;

  /** Goes to a conversation, or leaves. */
  at(id: string | null): void {
    if (id === this.#id) return;
    if (this.#id) {
      this.#stopTyping();
      void this.#tell('left');
    }
    clearInterval(this.#timer);
    this.#id = id;
    this.#state = 'viewing';
    if (!id) return;
    void this.#tell('viewing');
    this.#timer = setInterval(() => {
      if (document.visibilityState === 'visible') void this.#tell(this.#state);
    }, BEAT_MS);
  }

  /** Somebody writes a reply or a note, or has stopped for a while. */
  does(what: 'typing' | 'noting' | 'paused'): void {
    if (!this.#id) return;
    const state: State = what === 'paused' ? 'viewing' : what;
    if (state !== this.#state) {
      this.#state = state;
      void this.#tell(state);
    }
    if (what === 'typing') {
      if (Date.now() - this.#typingAt > TYPING_MS) {
        this.#typingAt = Date.now();
        void this.#typing(true);
      }
    } else this.#stopTyping();
  }

  /** It was sent: nobody types any more. */
  wrote(): void {
    this.does('paused');
  }

  #stopTyping(): void {
    if (!this.#typingAt) return;
    this.#typingAt = 0;
    void this.#typing(false);
  }

  async #typing(typing: boolean): Promise<void> {
    // It is a courtesy: where it does not arrive nothing is lost.
    await ask('POST', `/api/v1/conversations/${encodeURIComponent(this.#id ?? '')}/typing`, { typing }).catch(() => {});
  }

  async #tell(state: State): Promise<void> {
    if (!known || !this.#id) return;
    try {
      await ask('POST', `/api/v1/conversations/${encodeURIComponent(this.#id)}/presence`, { state }, { keepalive: true });
    } catch (error) {
      if (error instanceof ApiProblem && (error.status === 404 || error.status === 405)) known = false;
    }
  }
}
