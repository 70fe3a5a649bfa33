import { ApiProblem, ask, idempotencyKey } from '../../lib/api/client';
import { language, t } from '../../lib/i18n/index.svelte';
import { outgoing, type Outgoing, type OutgoingFile } from '../../lib/state/outgoing.svelte';
import { session } from '../../lib/state/session.svelte';
import { toasts } from '../../lib/state/toasts.svelte';
import { stream } from '../../lib/stream/index.svelte';
import { isEmpty, mergeDrafts, parseDraft, type Draft, type LocalDraft } from './drafts';
import { MOST_BYTES, MOST_FILES, sizeOf } from './limits';
import { upload } from './upload';

/** A file on its way into a message. */
export interface Attached {
  /** Its own here; the upload's id once there is one. */
  key: string;
  name: string;
  mime_type: string;
  size: number;
  /** `att_…` once it is uploaded. */
  id: string | null;
  /** How much of it is there, 0 to 1. */
  part: number;
  state: 'uploading' | 'waiting' | 'ready' | 'failed';
  problem: string | null;
  /** What it looks like, where it is a picture. */
  preview: string | null;
}

const SAVE_AFTER_MS = 900;
const PREFIX = 'deskbell.draft.';
/** A daemon that keeps no drafts answers 404: it is not asked again. */
let kept = true;

/** What is being written into one conversation. It outlives the composer: one comes back to what one left. */
export class Compose {
  readonly conversation: string;
  text = $state('');
  note = $state(false);
  replyTo = $state<string | null>(null);
  files = $state.raw<readonly Attached[]>([]);
  /** People who were mentioned, by the names that stand in the text. */
  mentions = new Map<string, string>();
  /** Send when the files are uploaded. */
  sendWhenReady = $state(false);
  /** What the daemon did not take, by what it names. */
  #updatedAt: string | null = null;
  #dirty = false;
  #read = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #aborts = new Map<string, AbortController>();
  #sources = new Map<string, File>();

  constructor(conversation: string) {
    this.conversation = conversation;
    const local = this.#local();
    if (local) this.#show(local);
  }

  get empty(): boolean {
    return this.text.trim() === '' && this.files.length === 0;
  }

  get uploading(): boolean {
    return this.files.some((file) => file.state === 'uploading' || file.state === 'waiting');
  }

  /** Reads what the daemon keeps, once, and again where another device changed it. */
  async restore(again = false): Promise<void> {
    if ((this.#read && !again) || !kept || !session.may('write')) return;
    this.#read = true;
    const textBefore = this.text;
    const draft = await this.#ask<Draft>('GET');
    if (!draft) return;
    // Whoever has begun to write meanwhile goes on with that.
    if (this.text !== textBefore || (again && this.#dirty)) return;
    const merged = mergeDrafts(this.#local(), { text: draft.text ?? '', private: draft.private ?? false, reply_to: draft.reply_to ?? null, attachment_ids: draft.attachment_ids ?? [], updated_at: draft.updated_at ?? null });
    this.#show(merged);
  }

  /** Something was changed by the person: it is kept here at once, and on the daemon soon. */
  changed(): void {
    this.#dirty = true;
    this.#updatedAt = new Date().toISOString();
    this.#keep();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#save(), SAVE_AFTER_MS);
  }

  setNote(note: boolean): void {
    if (this.note === note) return;
    this.note = note;
    if (note) this.replyTo = null;
    this.changed();
  }

  attach(files: Iterable<File>): void {
    for (const file of files) {
      if (this.files.length >= MOST_FILES) {
        toasts.say(t('composer.tooMany', { count: MOST_FILES }), { tone: 'bad' });
        return;
      }
      if (file.size > MOST_BYTES) {
        toasts.say(t('composer.tooLarge', { name: file.name, size: sizeOf(file.size, language.code), most: sizeOf(MOST_BYTES, language.code) }), { tone: 'bad' });
        continue;
      }
      if (file.size === 0) {
        toasts.say(t('composer.emptyFile', { name: file.name }), { tone: 'bad' });
        continue;
      }
      const key = idempotencyKey();
      const preview = /^image\/(png|jpeg|gif|webp|avif)$/.test(file.type) ? URL.createObjectURL(file) : null;
      this.files = [...this.files, { key, name: file.name, mime_type: file.type || 'application/octet-stream', size: file.size, id: null, part: 0, state: 'uploading', problem: null, preview }];
      this.#sources.set(key, file);
      void this.#upload(key);
    }
  }

  detach(key: string): void {
    this.#aborts.get(key)?.abort();
    const file = this.files.find((one) => one.key === key);
    if (file?.preview) URL.revokeObjectURL(file.preview);
    this.files = this.files.filter((one) => one.key !== key);
    this.#sources.delete(key);
    this.changed();
  }

  /** Tries again what waits for the line. */
  retryUploads(): void {
    for (const file of this.files) if (file.state === 'waiting' || file.state === 'failed') void this.#upload(file.key);
  }

  /** Sends it: it is in the queue before it leaves the composer. `seen` is the newest message that the writer saw. */
  send(seen: string | null): Outgoing | null {
    if (this.empty) return null;
    if (this.uploading) {
      this.sendWhenReady = true;
      return null;
    }
    if (this.files.some((file) => file.state === 'failed')) return null;
    this.sendWhenReady = false;
    const files: OutgoingFile[] = this.files.flatMap(({ id, name, mime_type, size }) => (id ? [{ id, name, mime_type, size }] : []));
    const mentions = this.note ? [...this.mentions].filter(([name]) => this.text.includes(`@${name}`)).map(([, id]) => id) : [];
    const item = outgoing.put(
      this.conversation,
      {
        text: this.text.trim() === '' ? null : this.text.trim(),
        attachment_ids: files.map((file) => file.id),
        reply_to: this.note ? null : this.replyTo,
        private: this.note,
        ...(mentions.length && { mentions }),
        ...(seen && !this.note && { seen }),
      },
      files,
    );
    this.#clear();
    return item;
  }

  /** Takes back what was not sent. */
  takeBack(item: Outgoing): void {
    const taken = outgoing.drop(item.key);
    if (!taken) return;
    this.text = [taken.body.text ?? '', this.text].filter(Boolean).join('\n\n');
    this.note = taken.body.private;
    this.replyTo ??= taken.body.reply_to;
    this.files = [...taken.files.map((file) => ({ ...file, key: file.id, part: 1, state: 'ready' as const, problem: null, preview: file.mime_type.startsWith('image/') ? `/api/v1/attachments/${file.id}` : null })), ...this.files];
    this.changed();
  }

  async #upload(key: string): Promise<void> {
    const source = this.#sources.get(key);
    if (!source) return;
    const abort = new AbortController();
    this.#aborts.set(key, abort);
    this.#set(key, { state: 'uploading', problem: null });
    try {
      const { id, mime_type } = await upload(source, key, (part) => this.#set(key, { part }), abort.signal);
      this.#sources.delete(key);
      this.#set(key, { id, part: 1, state: 'ready', ...(mime_type && { mime_type }) });
      this.changed();
    } catch (error) {
      if (abort.signal.aborted) return;
      const problem = error instanceof ApiProblem ? error : null;
      const later = !problem || problem.status === 0 || problem.status >= 500 || problem.status === 429;
      this.#set(key, { state: later ? 'waiting' : 'failed', part: 0, problem: later ? null : (problem?.words ?? '') });
      if (later) setTimeout(() => this.files.find((file) => file.key === key)?.state === 'waiting' && void this.#upload(key), (problem?.retryAfter ?? 4) * 1000);
    } finally {
      this.#aborts.delete(key);
    }
  }

  #set(key: string, change: Partial<Attached>): void {
    this.files = this.files.map((file) => (file.key === key ? { ...file, ...change } : file));
  }

  #clear(): void {
    for (const file of this.files) if (file.preview?.startsWith('blob:')) URL.revokeObjectURL(file.preview);
    this.text = '';
    this.replyTo = null;
    this.files = [];
    this.mentions.clear();
    this.note = false;
    this.changed();
    clearTimeout(this.#timer);
    void this.#save();
  }

  get #draft(): Draft {
    return {
      text: this.text,
      private: this.note,
      reply_to: this.replyTo,
      attachment_ids: this.files.flatMap((file) => (file.id ? [file.id] : [])),
      updated_at: this.#updatedAt,
    };
  }

  #show(draft: Draft): void {
    this.text = draft.text;
    this.note = draft.private;
    this.replyTo = draft.reply_to;
    this.#updatedAt = draft.updated_at;
    const known = new Map(this.files.map((file) => [file.id, file]));
    // Of an upload only its id is kept: its name comes back with it.
    const missing = draft.attachment_ids.filter((id) => !known.has(id));
    if (missing.length) void this.#look(missing);
  }

  /** Finds the uploads of a draft again; those that are gone are left out. */
  async #look(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const response = await fetch(`/api/v1/attachments/${encodeURIComponent(id)}`, { method: 'GET', headers: { range: 'bytes=0-0' } }).catch(() => null);
      if (!response?.ok || this.files.some((file) => file.id === id)) continue;
      const mime_type = response.headers.get('content-type')?.split(';')[0] ?? 'application/octet-stream';
      const name = nameOf(response.headers.get('content-disposition')) ?? t('attachment.file');
      const size = Number(response.headers.get('content-range')?.split('/')[1] ?? response.headers.get('content-length')) || 0;
      this.files = [...this.files, { key: id, id, name, mime_type, size, part: 1, state: 'ready', problem: null, preview: mime_type.startsWith('image/') ? `/api/v1/attachments/${id}` : null }];
    }
  }

  get #name(): string {
    return `${PREFIX}${session.userId ?? session.me?.id ?? ''}.${this.conversation}`;
  }

  #local(): LocalDraft | null {
    try {
      return parseDraft(localStorage.getItem(this.#name));
    } catch {
      return null;
    }
  }

  #keep(): void {
    try {
      const draft = this.#draft;
      if (isEmpty(draft) && !this.#dirty) localStorage.removeItem(this.#name);
      else localStorage.setItem(this.#name, JSON.stringify({ ...draft, dirty: this.#dirty } satisfies LocalDraft));
    } catch {
      // A browser that keeps nothing has it on the daemon.
    }
  }

  async #save(): Promise<void> {
    const draft = this.#draft;
    const { updated_at, ...body } = draft;
    const saved = kept ? await this.#ask<Draft>(isEmpty(draft) ? 'DELETE' : 'PUT', isEmpty(draft) ? undefined : body) : null;
    // Without the daemon it is kept here only, and an empty one need not be.
    if (saved === null && kept) return;
    if (this.#updatedAt !== updated_at) return;
    this.#dirty = !kept && !isEmpty(draft);
    this.#keep();
  }

  /** Null where the daemon does not answer. */
  async #ask<T>(method: string, body?: unknown): Promise<T | null> {
    try {
      return (await ask<T | undefined>(method, `/api/v1/conversations/${encodeURIComponent(this.conversation)}/draft`, body)) ?? ({} as T);
    } catch (error) {
      if (error instanceof ApiProblem && (error.status === 404 || error.status === 405)) kept = false;
      return null;
    }
  }
}

function nameOf(disposition: string | null): string | null {
  const coded = /filename\*=UTF-8''([^;]+)/i.exec(disposition ?? '')?.[1];
  try {
    if (coded) return decodeURIComponent(coded);
  } catch {
    // A name that cannot be read is none.
  }
  return /filename="([^"]+)"/i.exec(disposition ?? '')?.[1] ?? null;
}

const composes = new Map<string, Compose>();
let owner: string | null = null;

/** What is being written into a conversation. */
export function composeOf(conversation: string): Compose {
  const me = session.me?.id ?? null;
  if (me !== owner) {
    composes.clear();
    owner = me;
  }
  let compose = composes.get(conversation);
  if (!compose) composes.set(conversation, (compose = new Compose(conversation)));
  void compose.restore();
  return compose;
}

stream.on('desk.changed', ({ data }) => {
  if (data.what === 'drafts') for (const compose of composes.values()) void compose.restore(true);
});
addEventListener('online', () => {
  for (const compose of composes.values()) compose.retryUploads();
});
