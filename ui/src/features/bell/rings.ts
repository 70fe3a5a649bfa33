/** A ring as the ledger tells it: of a conversation, or an alarm by which the bell rings for itself. */
export interface Ring {
  id: string;
  /** Null of an alarm. */
  conversation_id?: string | null;
  message_id?: string | null;
  channel_id?: string | null;
  state: 'ringing' | 'taken' | 'ended';
  /** The first is 1. */
  step: number;
  started_at: string;
  next_step_at?: string | null;
  taken_at?: string | null;
  /** `usr_…` or `tok_…` */
  taken_by?: string | null;
  ended?: string | null;
  silenced?: boolean;
  /** A ring of a channel that is closed begins to sound at this time. */
  held_until?: string | null;
  attempts: Attempt[];
  /** Who is told at this step: `usr_…`; a daemon may not tell it. */
  told?: string[];
  /** Of an alarm: what it is about, in one word and in words. */
  kind?: string | null;
  title?: string | null;
  detail?: string | null;
}

export interface Attempt {
  at: string;
  user_id?: string | null;
  /** `desk`, `web-push`, `desktop`, `hook` … */
  device: string;
  device_id?: string | null;
  result: 'sent' | 'shown' | 'failed' | 'expired';
  detail?: string | null;
  /** At which step, where the daemon tells it. */
  step?: number | null;
}

export const isAlarm = (ring: Ring): boolean => !ring.conversation_id;

/** When it began to sound, in milliseconds: at once, or when its channel opened. */
export const soundsFrom = (ring: Ring): number => Math.max(Date.parse(ring.started_at), ring.held_until ? Date.parse(ring.held_until) : 0);

/** Whether it waits for its channel to open. */
export const isHeld = (ring: Ring, now: number): boolean => ring.state === 'ringing' && soundsFrom(ring) > now;

/** Milliseconds until the first device showed it; null where none has. A clock that went back counts as none passed. */
export function heardAfter(ring: Ring): number | null {
  const shown = ring.attempts.filter(({ result }) => result === 'shown').map(({ at }) => Date.parse(at));
  return shown.length ? Math.max(0, Math.min(...shown) - soundsFrom(ring)) : null;
}

/** Milliseconds until somebody took it; null where nobody has. */
export const takenAfter = (ring: Ring): number | null => (ring.taken_at ? Math.max(0, Date.parse(ring.taken_at) - soundsFrom(ring)) : null);

/** Somebody acted on it though no device said that it had shown it: so it was noticed. */
const noticed = (ring: Ring): boolean => ring.state === 'taken' || ring.taken_at != null || ring.ended === 'answered';

/** What rings for longer than this and was shown nowhere is as bad as what was never heard, in milliseconds. */
export const DEAF_MS = 60_000;

/**
 * Nobody can have heard it: no device has shown it, nobody has taken or answered it, and it is over, or has rung for a
 * minute. What a customer took back does not count: nobody waits for an answer to it.
 */
export function unheard(ring: Ring, now: number): boolean {
  if (heardAfter(ring) !== null || noticed(ring) || ring.ended === 'withdrawn') return false;
  // Over before its channel opened: it never had to sound.
  if (ring.held_until && ring.step === 0) return false;
  return ring.state !== 'ringing' || now - soundsFrom(ring) > DEAF_MS;
}

/** Something was tried and did not reach anybody. */
export const failures = (ring: Ring): Attempt[] => ring.attempts.filter(({ result }) => result === 'failed' || result === 'expired');

/** Newest first: by when it began, then by id, which sorts by time too. */
export const newestFirst = (one: Ring, other: Ring): number =>
  Date.parse(other.started_at) - Date.parse(one.started_at) || (one.id < other.id ? 1 : one.id > other.id ? -1 : 0);

/** Which rings are looked at. Times are days of this browser, `2026-11-28`; what is empty does not matter. */
export interface RingFilter {
  state: '' | Ring['state'];
  channel: string;
  since: string;
  until: string;
}

export const NO_FILTER: Readonly<RingFilter> = { state: '', channel: '', since: '', until: '' };

/** Whether an event's ring belongs into what is shown. `from` and `to` are the days' bounds, in milliseconds. */
export function fits(ring: Ring, filter: RingFilter, from: number | null, to: number | null): boolean {
  const at = Date.parse(ring.started_at);
  return (
    (!filter.state || ring.state === filter.state) &&
    (!filter.channel || ring.channel_id === filter.channel) &&
    (from === null || at >= from) &&
    (to === null || at < to)
  );
}

/** The list after an event: replaced where it stands, added where it is new, gone where the filter leaves it out. */
export function placed(list: readonly Ring[], ring: Ring, fitting: boolean, complete: boolean): Ring[] {
  const at = list.findIndex((one) => one.id === ring.id);
  if (at >= 0) return fitting ? list.map((one) => (one.id === ring.id ? ring : one)) : list.filter((one) => one.id !== ring.id);
  if (!fitting) return [...list];
  // Older than everything that was read so far: it comes with its page.
  const last = list.at(-1);
  if (!complete && last && newestFirst(ring, last) > 0) return [...list];
  return [...list, ring].sort(newestFirst);
}

/** What was tried on one device, and what came of it. */
export interface Told {
  key: string;
  /** With what it began. */
  first: Attempt;
  user: string | null;
  device: string;
  deviceId: string | null;
  sentAt: string | null;
  shownAt: string | null;
  failedAt: string | null;
  /** Why it failed, or what else is known. */
  detail: string | null;
  result: Attempt['result'];
}

/**
 * What the attempts say, by device: one that was sent and then shown is one line. A device that is told again at a later
 * step has a line for each.
 */
export function tellings(attempts: readonly Attempt[]): Told[] {
  const lines: Told[] = [];
  const open = new Map<string, Told>();
  const sorted = attempts.map((one, n) => ({ one, n })).sort((a, b) => Date.parse(a.one.at) - Date.parse(b.one.at) || a.n - b.n);
  for (const { one, n } of sorted) {
    const key = `${one.user_id ?? ''} ${one.device} ${one.device_id ?? ''}`;
    let line = open.get(key);
    // Sent anew, or a second word of what is over: another line.
    if (!line || one.result === 'sent' || line.result !== 'sent') {
      line = {
        key: `${key} ${n}`, first: one, user: one.user_id ?? null, device: one.device, deviceId: one.device_id ?? null,
        sentAt: null, shownAt: null, failedAt: null, detail: null, result: one.result,
      };
      lines.push(line);
      open.set(key, line);
    }
    if (one.result === 'sent') line.sentAt = one.at;
    else if (one.result === 'shown') line.shownAt = one.at;
    else line.failedAt = one.at;
    line.result = one.result;
    line.detail = one.detail ?? line.detail;
  }
  return lines;
}

/** When the steps of a ring begin where the operator has set nothing else, in milliseconds. */
const STEPS = [0, 60_000, 300_000, 900_000] as const;

/**
 * At which step something was tried. A daemon that does not tell it is taken to climb by the usual times: where an operator
 * has set others, what was tried may stand one step off.
 */
export function stepOf(attempt: Attempt, ring: Ring): number {
  if (Number.isSafeInteger(attempt.step) && Number(attempt.step) > 0) return Number(attempt.step);
  const passed = Date.parse(attempt.at) - soundsFrom(ring);
  const step = STEPS.reduce<number>((found, begins, n) => (passed >= begins ? n + 1 : found), 1);
  return Math.max(1, Math.min(step, ring.step));
}

/** The story of a ring: step by step, whom it was sent to, and what came of it. Steps at which nobody was told are left out. */
export function bySteps(ring: Ring): { step: number; lines: Told[] }[] {
  const steps = new Map<number, Told[]>();
  for (const line of tellings(ring.attempts)) {
    const own = steps.get(stepOf(line.first, ring));
    if (own) own.push(line);
    else steps.set(stepOf(line.first, ring), [line]);
  }
  return [...steps].sort(([one], [other]) => one - other).map(([step, lines]) => ({ step, lines }));
}
