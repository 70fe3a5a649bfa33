import { ask, ApiProblem, idempotencyKey, type Message } from '../api/client';
import { stream } from '../stream/index.svelte';
import { session } from './session.svelte';

/** What is written into a conversation, exactly as the daemon gets it: the same key goes with the same body, always. */
export interface OutgoingBody {
  text: string | null;
  attachment_ids: string[];
  reply_to: string | null;
  private: boolean;
  mentions?: string[];
  seen?: string | null;
  force?: boolean;
}

/** A file, as it is shown until the message is there. */
export interface OutgoingFile {
  id: string;
  name: string;
  mime_type: string;
  size: number;
}

export interface Outgoing {
  /** The `Idempotency-Key`: fixed when it was written, so that however often it is tried it is written once. */
  key: string;
  /** Whose it is: nobody else's browser session sends it. */
  owner: string;
  conversation: string;
  body: OutgoingBody;
  files: OutgoingFile[];
  /** When it was written, in milliseconds of the clock. */
  at: number;
  /**
   * `waiting` for the connection or its turn, `sending`, `old` where it waited so long that a person should say whether it is
   * still wanted, `crossed` where a colleague answered meanwhile, `refused` by the daemon for good.
   */
  state: 'waiting' | 'sending' | 'old' | 'crossed' | 'refused';
  /** How often it was tried in vain: no answer came. */
  tries: number;
  /** What the daemon said, where it refused. */
  problem: { code: string; detail: string; fields: { pointer: string; detail: string }[] } | null;
  /** The colleague's answer that came between. */
  crossedBy: Message | null;
}

/** What the queue is kept in: `localStorage`, or a stand-in of a test. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;
type Send = (item: Outgoing) => Promise<Message>;
type Arrived = (item: Outgoing, message: Message) => void;

const PREFIX = 'deskbell.outgoing.';
/** After this long without a line a reply is asked about before it goes: the customer may have been told otherwise. */
const OLD_MS = 4 * 3_600_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 20_000;

const sendNow: Send = (item) =>
  ask<Message>('POST', `/api/v1/conversations/${encodeURIComponent(item.conversation)}/messages`, item.body, { headers: { 'idempotency-key': item.key } });

/**
 * Replies and notes on their way to the daemon. Each is kept in the browser before it is sent and taken out when the daemon
 * has answered; a reload, a crash, a lost answer or a second tab makes no second message of it.
 */
export class Queue {
  /** All that are not at the daemon yet, oldest first. */
  all = $state.raw<readonly Outgoing[]>([]);
  #owner: string | null = null;
  #shelf: Shelf | null;
  #send: Send;
  #arrived: Arrived[] = [];
  #running = new Set<string>();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #clock: () => number;

  constructor(shelf: Shelf | null, send: Send = sendNow, clock: () => number = Date.now) {
    this.#shelf = shelf;
    this.#send = send;
    this.#clock = clock;
  }

  /** Takes up what this person has left here, and sends it. */
  begin(owner: string): void {
    if (this.#owner !== owner) {
      this.#owner = owner;
      this.all = [];
    }
    this.reread();
    this.flush();
  }

  /** Another tab put something in or took something out. */
  reread(): void {
    if (!this.#shelf || !this.#owner) return;
    const here = new Map(this.all.map((item) => [item.key, item]));
    const found: Outgoing[] = [];
    for (let index = 0; index < this.#shelf.length; index += 1) {
      const name = this.#shelf.key(index);
      if (!name?.startsWith(PREFIX)) continue;
      const item = parse(this.#shelf.getItem(name));
      if (!item || item.owner !== this.#owner || PREFIX + item.key !== name) continue;
      // What is under way in this tab is known better here.
      found.push(this.#running.has(item.key) ? (here.get(item.key) ?? item) : { ...item, state: item.state === 'sending' ? 'waiting' : item.state });
    }
    this.all = found.sort((a, b) => a.at - b.at || (a.key < b.key ? -1 : 1));
  }

  /** Hears of each that has become a message. */
  onArrived(hear: Arrived): void {
    this.#arrived.push(hear);
  }

  of(conversation: string): Outgoing[] {
    return this.all.filter((item) => item.conversation === conversation);
  }

  /** Puts something in; it is kept before anything is sent. */
  put(conversation: string, body: OutgoingBody, files: OutgoingFile[] = []): Outgoing {
    const at = Math.max(this.#clock(), (this.all.at(-1)?.at ?? 0) + 1);
    const item: Outgoing = { key: idempotencyKey(), owner: this.#owner ?? '', conversation, body, files, at, state: 'waiting', tries: 0, problem: null, crossedBy: null };
    this.#keep(item);
    this.flush();
    return item;
  }

  /** Sends again what was refused, waited too long or crossed; `force` sends past a colleague's answer. */
  again(key: string, { force = false } = {}): void {
    const item = this.all.find((one) => one.key === key);
    if (!item || this.#running.has(key)) return;
    if (force) {
      // Another body is another request, and the one before wrote nothing.
      this.drop(key);
      this.#keep({ ...item, key: idempotencyKey(), body: { ...item.body, force: true }, state: 'waiting', tries: 0, crossedBy: null, problem: null });
    } else this.#keep({ ...item, state: 'waiting', problem: null, crossedBy: null, at: item.state === 'old' ? this.#clock() : item.at });
    this.flush();
  }

  /** Takes it out; null where it is on its way and cannot be taken back. */
  drop(key: string): Outgoing | null {
    const item = this.all.find((one) => one.key === key);
    if (!item || this.#running.has(key)) return null;
    this.#forget(key);
    return item;
  }

  /** Sends what can be sent: of each conversation one at a time, in the order in which it was written. */
  flush(): void {
    clearTimeout(this.#timer);
    const blocked = new Set<string>();
    for (const item of this.all) {
      if (blocked.has(item.conversation)) continue;
      if (item.state === 'refused') continue;
      // What is asked about holds back what was written after it.
      blocked.add(item.conversation);
      if (item.state === 'waiting' && !this.#running.has(item.key)) {
        if (this.#clock() - item.at > OLD_MS) this.#keep({ ...item, state: 'old' });
        else void this.#try(item);
      }
    }
  }

  async #try(item: Outgoing): Promise<void> {
    this.#running.add(item.key);
    this.#show({ ...item, state: 'sending' });
    try {
      const message = await this.#send(item);
      this.#failures = 0;
      for (const hear of this.#arrived) hear(item, message);
      this.#running.delete(item.key);
      this.#forget(item.key);
      this.flush();
    } catch (error) {
      this.#running.delete(item.key);
      const problem = error instanceof ApiProblem ? error : null;
      const later = !problem || problem.status === 0 || problem.status >= 500 || problem.status === 429 || problem.status === 408 || problem.status === 401;
      if (later) {
        this.#keep({ ...item, state: 'waiting', tries: item.tries + 1 });
        this.#failures += 1;
        const wait = problem?.retryAfter ? problem.retryAfter * 1000 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1));
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.flush(), wait);
      } else {
        const crossed = problem.code === 'crossed' ? ((problem.body.crossed_by as Message | undefined) ?? null) : null;
        this.#keep({
          ...item,
          state: crossed ? 'crossed' : 'refused',
          problem: { code: problem.code, detail: problem.fields[0]?.detail ?? problem.message, fields: problem.fields },
          crossedBy: crossed,
        });
        this.flush();
      }
    }
  }

  #show(item: Outgoing): void {
    // Somebody else has signed in while it was on its way.
    if (item.owner !== this.#owner) return;
    const at = this.all.findIndex((one) => one.key === item.key);
    this.all = at < 0 ? [...this.all, item].sort((a, b) => a.at - b.at) : this.all.with(at, item);
  }

  #keep(item: Outgoing): void {
    this.#show(item);
    try {
      this.#shelf?.setItem(PREFIX + item.key, JSON.stringify(item));
    } catch {
      // A full or closed store keeps nothing: it is sent all the same while the tab lives.
    }
  }

  #forget(key: string): void {
    this.all = this.all.filter((item) => item.key !== key);
    try {
      this.#shelf?.removeItem(PREFIX + key);
    } catch {
      // Nothing is kept.
    }
  }
}

function parse(text: string | null): Outgoing | null {
  try {
    const item = JSON.parse(text ?? '') as Partial<Outgoing> | null;
    const whole =
      item && typeof item.key === 'string' && typeof item.owner === 'string' && typeof item.conversation === 'string' && typeof item.at === 'number' &&
      typeof item.body === 'object' && item.body !== null && ['waiting', 'sending', 'old', 'crossed', 'refused'].includes(item.state ?? '');
    if (!whole) return null;
    return { ...(item as Outgoing), files: Array.isArray(item.files) ? item.files : [], tries: Number(item.tries) || 0, problem: item.problem ?? null, crossedBy: item.crossedBy ?? null };
  } catch {
    return null;
  }
}

function shelf(): Shelf | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

export const outgoing = new Queue(shelf());

/** Takes the queue up: once a person is signed in, and again whenever the line is back. */
export function beginOutgoing(): void {
  const owner = session.userId ?? session.me?.id;
  if (owner) outgoing.begin(owner);
}

window.addEventListener('online', () => outgoing.flush());
window.addEventListener('storage', (event) => {
  if (event.key?.startsWith(PREFIX)) outgoing.reread();
});
// Whatever comes over the line says that there is one.
stream.on('*', () => {
  if (outgoing.all.some((item) => item.state === 'waiting')) outgoing.flush();
});
