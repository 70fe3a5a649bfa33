import { problems } from '../i18n/en/problems';
import { t, type Key } from '../i18n/index.svelte';
import { fieldWords } from './fields';

/** A problem of this type in the reader's language, where the desk has words for it; else what the daemon said, which is English. */
export function problemWords(code: string, detail: string): string {
  const key = `problem.${code}`;
  return Object.hasOwn(problems, key) ? t(key as Key, { detail }) : detail;
}

/** What to tell a person of anything that was thrown. */
export function failureWords(error: unknown): string {
  if (error instanceof ApiProblem) return error.words;
  return error instanceof Error ? error.message : String(error);
}

/** A field that the daemon did not take: where it stands in the body, and why. */
export interface FieldProblem {
  pointer: string;
  detail: string;
}

/** What the daemon said instead of doing what it was asked: a problem of RFC 9457. */
export class ApiProblem extends Error {
  /** The last word of the problem's type: `taken`, `code-needed` …; `offline` where no answer came. */
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly fields: FieldProblem[];
  /** Everything that the problem carries. */
  readonly body: Record<string, unknown>;
  /** Seconds after which trying again makes sense. */
  readonly retryAfter: number | null;

  constructor(status: number, body: Record<string, unknown>, retryAfter: number | null = null) {
    const text = (key: string) => (typeof body[key] === 'string' ? (body[key] as string) : '');
    super(text('detail') || text('title') || `The daemon answered ${status}.`);
    this.name = 'ApiProblem';
    this.status = status;
    this.code = text('type').split('/').pop() || (status === 0 ? 'offline' : `status-${status}`);
    this.title = text('title');
    this.detail = text('detail');
    this.body = body;
    this.retryAfter = retryAfter;
    const errors = Array.isArray(body.errors) ? body.errors : [];
    this.fields = errors.flatMap((one: unknown) => {
      const { pointer, detail } = (one ?? {}) as Record<string, unknown>;
      return typeof detail === 'string' ? [{ pointer: typeof pointer === 'string' ? pointer : '', detail }] : [];
    });
  }

  /** No answer came: the network, or the daemon, is away. */
  static offline(): ApiProblem {
    return new ApiProblem(0, { title: 'No answer', detail: 'The desk cannot reach its daemon.' });
  }

  /** What it means to the person, in their language. */
  get words(): string {
    if (this.status === 0) return t('common.offline');
    const [field, other] = this.fields;
    if (field && !other && fieldWords(field.detail) !== field.detail && !Object.hasOwn(problems, `problem.${this.code}`)) return fieldWords(field.detail);
    return problemWords(this.code, this.detail || this.title || t('problem.status', { status: this.status }));
  }

  /** What is wrong with the field at this JSON pointer, as `/email`. */
  at(pointer: string): string | undefined {
    const found = this.fields.find((field) => field.pointer === pointer);
    return found && fieldWords(found.detail);
  }
}
