/**
 * What sounds, and when. Pure: the time is an argument, nothing here touches the page. What rings comes in one by one
 * (`book.ts` makes it of conversations and rings), so that it does not matter who says that something rings.
 */

/** `alarm`: something is wrong with the desk itself. */
export type SoundClass = 'chat' | 'mail' | 'alarm';
/** `nobody` is the bell for what nobody has taken, and for alarms. */
export type Sound = 'chat' | 'mail' | 'nobody';

/** Somebody waits, and this person should hear it. */
export interface Ringing {
  /** The conversation, or the alarm. */
  id: string;
  class: SoundClass;
  /** Nobody has taken it. */
  untaken: boolean;
  /** The newest message of the customer: one that is newer than the last sounds again. Ids sort by time. */
  newest: string;
  /** When they last wrote, in milliseconds. */
  since: number;
  /** How far its ring has climbed; another word for each step. Empty where no ring is known. */
  reached: string;
  /** It was rung before, at a lower step, and nobody came. */
  escalated: boolean;
  /** It does not sound before this, in milliseconds. */
  notBefore?: number;
}

/** How a device sounds. */
export interface Preferences {
  on: boolean;
  /** From 0 to 1. */
  volume: number;
  chat: boolean;
  mail: boolean;
  /** Sounds again while it waits. */
  repeat: boolean;
  /** Also what colleagues have. */
  others: boolean;
  quiet: boolean;
  /** The quiet hours, `22:00` to `07:00`, by the clock of this device. */
  quietFrom: string;
  quietTo: string;
}

export const DEFAULTS: Readonly<Preferences> = {
  on: true, volume: 0.7, chat: true, mail: true, repeat: true, others: false, quiet: false, quietFrom: '22:00', quietTo: '07:00',
};

/** What is to be played now. */
export interface Ring {
  sound: Sound;
  /** How often it has rung before: the bell rises a little at each step. */
  step: number;
  /** The conversations that it stands for. */
  for: string[];
}

/** Never two sounds closer than this: a burst of a thousand messages is one sound now and then. */
export const GAP_MS = 3_000;
/** What waits longer than this when it is first seen is shown, and does not ring. */
export const OLD_MS = 24 * 3_600_000;
const REPEATS_MS: Record<SoundClass, readonly number[]> = {
  chat: [10_000, 30_000, 60_000],
  // A letter is not expected to be answered within the minute.
  mail: [60_000, 300_000, 900_000],
  // Nobody mends a desk within seconds.
  alarm: [60_000, 300_000, 900_000],
};
/** What was rung for is remembered this long after it was last seen, for tabs that come and go. */
const KEPT_MS = 48 * 3_600_000;

/** What is known of one conversation. */
interface Known {
  /** The newest message that has sounded, or that need not. */
  rung: string;
  /** When it last sounded. */
  at: number;
  /** How often. */
  times: number;
  /** The newest message for which somebody was seen to have noticed: no more repeats for it. */
  hushed: string;
  /** How far its ring had climbed then: to have seen is not to have taken, and the next step sounds again. */
  reached: string;
}

/** What outlives a tab: by conversation or alarm. */
export type Ledger = Record<string, Known>;

export class Policy {
  #ringing = new Map<string, Ringing>();
  #known = new Map<string, Known>();
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(ledger: unknown = null, now = 0) {
    this.load(ledger, now);
  }

  /** Takes over what another tab knew. What cannot be read is left out. */
  load(ledger: unknown, now: number): void {
    if (typeof ledger !== 'object' || ledger === null) return;
    for (const [id, known] of Object.entries(ledger as Record<string, Partial<Known> | null>)) {
      if (!known || typeof known.rung !== 'string' || typeof known.hushed !== 'string') continue;
      if (!Number.isFinite(known.at) || !Number.isFinite(known.times)) continue;
      // A clock that was set back must not silence anything.
      const at = Math.min(Number(known.at), now);
      if (now - at > KEPT_MS) continue;
      const had = this.#known.get(id);
      if (had && had.rung > known.rung) continue;
      const reached = typeof known.reached === 'string' ? known.reached : '';
      this.#known.set(id, { rung: known.rung, hushed: known.hushed, reached, at, times: Number(known.times) });
      this.#lastAt = Math.max(this.#lastAt, at);
    }
  }

  /** What another tab needs to go on. */
  ledger(now: number): Ledger {
    const kept: Ledger = {};
    for (const [id, known] of this.#known) {
      if (now - known.at > KEPT_MS && !this.#ringing.has(id)) this.#known.delete(id);
      else kept[id] = { ...known };
    }
    return kept;
  }

  /** How many people wait. */
  get size(): number {
    let alarms = 0;
    for (const ringing of this.#ringing.values()) if (ringing.class === 'alarm') alarms += 1;
    return this.#ringing.size - alarms;
  }

  /** The conversations and alarms that ring. */
  get ids(): string[] {
    return [...this.#ringing.keys()];
  }

  /** What is known to ring of this conversation, or this alarm. */
  get(id: string): Ringing | undefined {
    return this.#ringing.get(id);
  }

  /** One rings, or rings on. */
  put(ringing: Ringing, now: number): void {
    const known = this.#known.get(ringing.id);
    if (!known && now - ringing.since > OLD_MS) {
      this.#known.set(ringing.id, { rung: ringing.newest, hushed: ringing.newest, reached: ringing.reached, at: now, times: 0 });
    }
    const had = this.#ringing.get(ringing.id);
    this.#ringing.set(ringing.id, had && had.newest > ringing.newest ? { ...ringing, newest: had.newest } : ringing);
  }

  /** Taken, answered, resolved: it rings no more. */
  drop(id: string): void {
    this.#ringing.delete(id);
    const known = this.#known.get(id);
    // The next message begins at the first step again.
    if (known) known.times = 0;
  }

  /** It waits silently: its channel is closed, or an answer is on its way. When it rings on it rings as something new. */
  still(id: string): void {
    this.drop(id);
    const known = this.#known.get(id);
    if (known) [known.rung, known.hushed] = ['', ''];
  }

  /** This person has seen it: no repeats until the customer writes again, or the ring climbs. */
  hush(id: string, now: number): boolean {
    const ringing = this.#ringing.get(id);
    if (!ringing) return false;
    const known = this.#known.get(id) ?? { rung: '', hushed: '', reached: '', at: now, times: 0 };
    if (isHushed(ringing, known)) return false;
    known.hushed = ringing.newest;
    known.reached = ringing.reached;
    if (known.rung < ringing.newest) known.rung = ringing.newest;
    this.#known.set(id, known);
    return true;
  }

  /** When something is to be played next, in milliseconds; null where nothing is. */
  next(preferences: Preferences, now: number): number | null {
    if (!preferences.on || preferences.volume <= 0) return null;
    let first = Number.POSITIVE_INFINITY;
    for (const ringing of this.#ringing.values()) first = Math.min(first, this.#due(ringing, preferences, now));
    if (first === Number.POSITIVE_INFINITY) return null;
    return Math.max(first, this.#lastAt + GAP_MS, quietUntil(preferences, now) ?? 0);
  }

  /** What is to be played now, and counts as played then; null where it is not time. */
  ring(preferences: Preferences, now: number): Ring | null {
    // The clock was set back: a pause that would last until it is where it was is none.
    if (this.#lastAt > now) this.#lastAt = now;
    for (const known of this.#known.values()) if (known.at > now) known.at = now;
    const at = this.next(preferences, now);
    if (at === null || at > now) return null;
    const fresh: Ringing[] = [];
    const again: Ringing[] = [];
    let due = false;
    for (const ringing of this.#ringing.values()) {
      const when = this.#due(ringing, preferences, now);
      if (when === Number.POSITIVE_INFINITY) continue;
      const known = this.#known.get(ringing.id);
      if (!known || known.rung < ringing.newest) {
        if (when <= now) fresh.push(ringing);
      } else if (when <= now) {
        again.push(ringing);
        due = true;
      } else if (when - now <= intervalOf(ringing.class, known.times) / 2) again.push(ringing);
    }
    // What is nearly due rings along, so that forty who wait are one bell and not forty.
    const rings = [...fresh, ...(due ? again : [])];
    let step = 0;
    let untaken = false;
    for (const ringing of rings) {
      const known = this.#known.get(ringing.id);
      const repeats = known !== undefined && known.rung >= ringing.newest;
      if (ringing.untaken && (repeats || ringing.escalated || ringing.class === 'alarm')) {
        untaken = true;
        step = Math.max(step, known?.times ?? 0);
      }
      this.#known.set(ringing.id, {
        rung: ringing.newest, hushed: known?.hushed ?? '', reached: known?.reached ?? '', at: now,
        times: Math.max(1, (known?.times ?? 0) + (repeats ? 1 : 0)),
      });
    }
    this.#lastAt = now;
    const sound: Sound = untaken ? 'nobody' : rings.some((one) => one.class === 'chat') ? 'chat' : 'mail';
    return { sound, step, for: rings.map((one) => one.id) };
  }

  #due(ringing: Ringing, preferences: Preferences, now: number): number {
    const never = Number.POSITIVE_INFINITY;
    if (ringing.class !== 'alarm' && !preferences[ringing.class]) return never;
    const known = this.#known.get(ringing.id);
    if (!known || known.rung < ringing.newest) return Math.max(now, ringing.notBefore ?? 0);
    if (!preferences.repeat || isHushed(ringing, known)) return never;
    return known.at + intervalOf(ringing.class, known.times);
  }
}

/** Whether somebody has noticed all that there is of it. */
const isHushed = (ringing: Ringing, known: Known): boolean =>
  known.hushed >= ringing.newest && (ringing.reached === '' || known.reached === ringing.reached);

function intervalOf(kind: SoundClass, times: number): number {
  const repeats = REPEATS_MS[kind];
  return repeats[Math.min(Math.max(times, 1), repeats.length) - 1] ?? 60_000;
}

/** Until when it is quiet, in milliseconds; null where it is not. By the clock of the device. */
export function quietUntil(preferences: Preferences, now: number): number | null {
  if (!preferences.quiet) return null;
  const from = minutesOf(preferences.quietFrom);
  const to = minutesOf(preferences.quietTo);
  if (from === null || to === null || from === to) return null;
  const time = new Date(now);
  const minute = time.getHours() * 60 + time.getMinutes();
  const inside = from < to ? minute >= from && minute < to : minute >= from || minute < to;
  if (!inside) return null;
  const end = new Date(now);
  end.setHours(Math.floor(to / 60), to % 60, 0, 0);
  if (end.getTime() <= now) end.setDate(end.getDate() + 1);
  return end.getTime();
}

function minutesOf(clock: string): number | null {
  const found = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(clock);
  return found ? Number(found[1]) * 60 + Number(found[2]) : null;
}

/** Preferences as they were kept, whatever was made of them meanwhile. */
export function preferencesOf(kept: unknown): Preferences {
  const found = (typeof kept === 'object' && kept !== null ? kept : {}) as Partial<Record<keyof Preferences, unknown>>;
  const yes = (key: 'on' | 'chat' | 'mail' | 'repeat' | 'others' | 'quiet') => (typeof found[key] === 'boolean' ? found[key] : DEFAULTS[key]);
  const clock = (key: 'quietFrom' | 'quietTo') => {
    const text = found[key];
    return typeof text === 'string' && minutesOf(text) !== null ? text : DEFAULTS[key];
  };
  const volume = typeof found.volume === 'number' && found.volume >= 0 && found.volume <= 1 ? found.volume : DEFAULTS.volume;
  return {
    on: yes('on'), volume, chat: yes('chat'), mail: yes('mail'), repeat: yes('repeat'), others: yes('others'),
    quiet: yes('quiet'), quietFrom: clock('quietFrom'), quietTo: clock('quietTo'),
  };
}
