import type { Message } from '../../lib/api/client';

/** A message as it stands in the thread: with what its neighbours leave to be said. */
export interface Row {
  message: Message;
  /** A day begins here: the separator above it. */
  day: Date | null;
  /** It begins or ends a run of one author within a minute: who wrote, the time and the corners depend on it. */
  first: boolean;
  last: boolean;
  /** The state of the delivery is said here: once a run, and wherever it is news. */
  state: boolean;
}

const same = (one: Message, other: Message): boolean =>
  one.kind === other.kind && one.direction === other.direction && one.author.type === other.author.type && (one.author.id ?? one.author.name) === (other.author.id ?? other.author.name);

const minute = (message: Message): number => Math.floor(Date.parse(message.sent_at) / 60_000);
const dayOf = (message: Message): string => new Date(message.sent_at).toDateString();

/** States that are always said, wherever they stand. */
const LOUD = new Set(['queued', 'failed', 'unknown']);

/** Groups messages, oldest first, into what is read as one: runs of an author within a minute, under days. */
export function group(messages: readonly Message[], before: ReadonlyMap<string, Row> = new Map()): Row[] {
  return messages.map((message, index) => {
    const above = messages[index - 1];
    const below = messages[index + 1];
    const newDay = !above || dayOf(above) !== dayOf(message);
    const first = newDay || !same(above, message) || minute(above) !== minute(message);
    const last = !below || dayOf(below) !== dayOf(message) || !same(message, below) || minute(below) !== minute(message);
    const delivery = message.delivery?.state;
    const state = delivery !== undefined && (LOUD.has(delivery) || last || below?.delivery?.state !== delivery);
    const known = before.get(message.id);
    // The same row again where nothing changed, so that what shows it has nothing to do.
    if (known && known.message === message && (known.day !== null) === newDay && known.first === first && known.last === last && known.state === state) return known;
    return { message, day: newDay ? new Date(message.sent_at) : null, first, last, state };
  });
}

/** Puts a message where it belongs: by the platform's time, behind those of the same time. Oldest first. */
export function place(messages: readonly Message[], message: Message): Message[] {
  const at = messages.findIndex((known) => known.id === message.id);
  if (at >= 0) {
    if (messages[at]?.sent_at === message.sent_at) return messages.with(at, message);
    return place(messages.toSpliced(at, 1), message);
  }
  const time = Date.parse(message.sent_at);
  let index = messages.length;
  while (index > 0 && Date.parse(messages[index - 1]?.sent_at ?? '') > time) index -= 1;
  return messages.toSpliced(index, 0, message);
}

/** Whether the arrival is worth saying: it differs from the platform's time by more than a minute. */
export function cameLate(message: Pick<Message, 'sent_at' | 'received_at'>): boolean {
  return Math.abs(Date.parse(message.received_at) - Date.parse(message.sent_at)) > 60_000;
}
