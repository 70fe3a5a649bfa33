import { failureWords } from '../api/problem';

export interface Toast {
  id: number;
  text: string;
  tone: 'plain' | 'bad';
  action?: { label: string; do: () => void };
}

/** Short words at the edge of the screen: what was done, with the way back, or what failed. */
class Toasts {
  all = $state<Toast[]>([]);
  #next = 1;

  say(text: string, { tone = 'plain', action, forMs }: { tone?: Toast['tone']; action?: Toast['action']; forMs?: number } = {}): void {
    const id = this.#next++;
    this.all = [...this.all.slice(-2), { id, text, tone, ...(action && { action }) }];
    setTimeout(() => this.close(id), forMs ?? (action ? 10_000 : 5_000));
  }

  /** Tells that something failed, and why. */
  failed(error: unknown): void {
    this.say(failureWords(error), { tone: 'bad', forMs: 8_000 });
  }

  close(id: number): void {
    this.all = this.all.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
