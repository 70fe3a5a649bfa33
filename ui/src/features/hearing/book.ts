import type { Ringing } from './policy';
import { placeOf, ringingBy, ringingOf, STILL, waits, type Listener, type Told, type Waiting } from './things';

/**
 * How long the ring of what has just come is waited for, in milliseconds. It follows in the same breath; without it, it
 * sounds as if nobody said for whom.
 */
export const RING_MS = 1_500;

/** Who waits and what rings, as the daemon says it: of both together follows what sounds here. Pure: the time is an argument. */
export class Book {
  #waiting = new Map<string, Waiting>();
  /** By the place where they belong. */
  #rings = new Map<string, Told>();
  /** Until when a conversation's ring is waited for. */
  #awaited = new Map<string, number>();

  /** A conversation as it stands now. */
  conversation(conversation: Waiting, now: number): void {
    const { id } = conversation;
    const had = this.#waiting.get(id);
    if (!waits(conversation)) {
      this.#waiting.delete(id);
      this.#awaited.delete(id);
      // Whatever rang there is over, also where no event of the bell says so.
      this.#rings.delete(id);
      return;
    }
    this.#waiting.set(id, slim(conversation));
    const isNews = !had || had.last_message?.id !== conversation.last_message?.id;
    if (isNews && !this.#rings.has(id) && (this.#awaited.get(id) ?? 0) <= now) this.#awaited.set(id, now + RING_MS);
  }

  /** A ring as it stands now; gives its place. */
  ring(ring: Told): string {
    const place = placeOf(ring);
    const had = this.#rings.get(place);
    if (had && had.id > ring.id) return place;
    this.#awaited.delete(place);
    if (ring.state === 'ringing') this.#rings.set(place, ring);
    else this.#rings.delete(place);
    return place;
  }

  /** An answer of a person is on its way there: the ring is silent, and if the answer fails it says that it goes on. */
  answering(id: string): void {
    const ring = this.#rings.get(id);
    if (ring) this.#rings.set(id, { ...ring, silenced: true });
  }

  /** All who wait and all that rings, read anew. */
  set(conversations: readonly Waiting[], rings: readonly Told[]): void {
    this.#waiting = new Map(conversations.filter(waits).map((one) => [one.id, slim(one)]));
    this.#awaited.clear();
    this.#rings = new Map(rings.filter((ring) => ring.state === 'ringing').map((ring) => [placeOf(ring), ring]));
  }

  /** All that is known of, by place. */
  places(): Set<string> {
    return new Set([...this.#waiting.keys(), ...this.#rings.keys()]);
  }

  /** All that ring. */
  rings(): Told[] {
    return [...this.#rings.values()];
  }

  /** The alarms that ring. */
  alarms(): Told[] {
    return this.rings().filter((ring) => !ring.conversation_id);
  }

  /** What is to sound at a place; `still` where it waits, but silently. */
  at(place: string, listener: Listener, connectorOf: (channel: string) => string): Ringing | typeof STILL | null {
    const ring = this.#rings.get(place) ?? null;
    const conversation = this.#waiting.get(place);
    if (!conversation) return ring && ringingBy(ring, listener, connectorOf(ring.channel_id ?? ''));
    const ringing = ringingOf(conversation, listener, ring);
    const notBefore = this.#awaited.get(place);
    return ringing && ringing !== STILL && notBefore !== undefined ? { ...ringing, notBefore } : ringing;
  }
}

/** What is kept of a conversation. */
const slim = ({ id, connector, status, assignee_id, waiting_since, last_message }: Waiting): Waiting => ({ id, connector, status, assignee_id, waiting_since, last_message });
