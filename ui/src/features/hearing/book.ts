import type { Ringing } from './policy';
import { placeOf, ringingBy, ringingOf, STILL, waits, type Listener, type Told, type Waiting } from './things';

/**
 * How long the ring of what has just come is waited for, in milliseconds, or the conversation of a ring. The one follows the
 * other in the same breath; without its ring a conversation sounds as if nobody said for whom, and a ring whose conversation
 * comes behind it would sound twice: by itself, and for the message that is then known.
 */
export const RING_MS = 1_500;

/** Who waits and what rings, as the daemon says it: of both together follows what sounds here. Pure: the time is an argument. */
export class Book {
  #waiting = new Map<string, Waiting>();
  /** By the place where they belong. */
  #rings = new Map<string, Told>();
  /** Until when a conversation's ring is waited for, or a ring's conversation. */
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
    if (this.#rings.has(id)) this.#awaited.delete(id);
    else if (isNews && (this.#awaited.get(id) ?? 0) <= now) this.#awaited.set(id, now + RING_MS);
  }

  /** A ring as it stands now; gives its place. */
  ring(ring: Told, now: number): string {
    const place = placeOf(ring);
    const had = this.#rings.get(place);
    if (had && had.id > ring.id) return place;
    if (ring.state !== 'ringing') {
      this.#rings.delete(place);
      this.#awaited.delete(place);
      return place;
    }
    this.#rings.set(place, ring);
    if (!this.#lacksConversation(ring)) this.#awaited.delete(place);
    else if (!had) this.#awaited.set(place, now + RING_MS);
    return place;
  }

  #lacksConversation(ring: Told): boolean {
    return Boolean(ring.conversation_id) && !this.#waiting.has(placeOf(ring));
  }

  /** An answer of a person is on its way there: the ring is silent, and if the answer fails it says that it goes on. */
  answering(id: string): void {
    const ring = this.#rings.get(id);
    if (ring) this.#rings.set(id, { ...ring, silenced: true });
  }

  /** All who wait and all that rings, read anew. */
  set(conversations: readonly Waiting[], rings: readonly Told[], now: number): void {
    this.#waiting = new Map(conversations.filter(waits).map((one) => [one.id, slim(one)]));
    const had = this.#rings;
    this.#rings = new Map(rings.filter((ring) => ring.state === 'ringing').map((ring) => [placeOf(ring), ring]));
    this.#awaited.clear();
    // What began to ring while it was read: its conversation was read before it.
    for (const [place, ring] of this.#rings) if (!had.has(place) && this.#lacksConversation(ring)) this.#awaited.set(place, now + RING_MS);
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
    const ringing = conversation ? ringingOf(conversation, listener, ring) : ring && ringingBy(ring, listener, connectorOf(ring.channel_id ?? ''));
    const notBefore = this.#awaited.get(place);
    return ringing && ringing !== STILL && notBefore !== undefined ? { ...ringing, notBefore } : ringing;
  }
}

/** What is kept of a conversation. */
const slim = ({ id, connector, status, assignee_id, waiting_since, last_message }: Waiting): Waiting => ({ id, connector, status, assignee_id, waiting_since, last_message });
