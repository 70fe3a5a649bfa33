import { ApiProblem } from './api/client';

/** Something that a person asks the daemon to do: whether it runs, and what the daemon said where it was not done. */
export class Deed {
  busy = $state(false);
  problem = $state<ApiProblem | null>(null);

  /** Does it, unless it is being done. What it gives is `undefined` where it failed: then {@link problem} says why. */
  async run<T>(what: () => Promise<T>): Promise<T | undefined> {
    if (this.busy) return undefined;
    this.busy = true;
    this.problem = null;
    try {
      return await what();
    } catch (error) {
      this.problem = error instanceof ApiProblem ? error : new ApiProblem(-1, { title: String(error), detail: String(error) });
      return undefined;
    } finally {
      this.busy = false;
    }
  }

  /** What is wrong with the field at this pointer, as `/email`. */
  at(pointer: string): string | null {
    return this.problem?.at(pointer) ?? null;
  }

  /** What no field of these shows: the whole, or fields that the form does not have. */
  beside(...pointers: string[]): string | null {
    if (!this.problem) return null;
    const elsewhere = this.problem.fields.filter((field) => !pointers.includes(field.pointer));
    if (this.problem.fields.length === 0) return this.problem.words;
    return elsewhere.length ? elsewhere.map((field) => `${field.pointer.replace(/^\//, '')}: ${field.detail}`).join(' ') : null;
  }

  clear(): void {
    this.problem = null;
  }
}
