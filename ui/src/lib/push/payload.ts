/**
 * What a push tells, as the daemon sends it. `conversation` is null where the bell rings for itself: an alarm. `id` is the
 * same where the daemon sends one again because it does not know whether it had; an older daemon gives none.
 */
export type Payload = { id: string | null } & (
  | { type: 'ring'; ring: string; conversation: string | null; step: number; title: string; body: string }
  | { type: 'taken'; ring: string; conversation: string | null }
  | { type: 'test'; test: string; silent: boolean }
);

/** What a notification carries, so that a worker that was started anew knows what it stands for. */
export interface Carried {
  type: 'ring' | 'test' | 'word';
  ring: string | null;
  conversation: string | null;
  step: number;
  /** It is about to go: nobody needs to do anything about it. */
  passing: boolean;
}

const TITLE_CHARS = 120;
const BODY_CHARS = 300;
/** Everything that a terminal or a notification server might take for more than a sign; a line may end. */
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

const words = (value: unknown, most: number): string => {
  const text = typeof value === 'string' ? value.replaceAll(CONTROLS, ' ').trim() : '';
  const signs = [...text];
  return signs.length > most ? `${signs.slice(0, most - 1).join('')}…` : text;
};

const idOf = (value: unknown, prefix: string): string | null =>
  typeof value === 'string' && new RegExp(`^${prefix}_\\w{1,64}$`).test(value) ? value : null;

/** Reads a push; null where it is none that this worker knows. */
export function payloadOf(text: string | null | undefined): Payload | null {
  let told: unknown;
  try {
    told = JSON.parse(text ?? '');
  } catch {
    return null;
  }
  if (typeof told !== 'object' || told === null) return null;
  const { type, id: number, ring, conversation, step: climbed, title, body, test, silent } = told as Record<string, unknown>;
  const id = typeof number === 'string' && /^[\w-]{1,64}$/.test(number) ? number : null;
  if (type === 'test') return typeof test === 'string' && test !== '' && test.length <= 200 ? { type, id, test, silent: silent === true } : null;
  const rings = idOf(ring, 'rng');
  if (!rings) return null;
  const of = idOf(conversation, 'cnv');
  if (type === 'taken') return { type, id, ring: rings, conversation: of };
  if (type !== 'ring') return null;
  const step = Number.isSafeInteger(climbed) && Number(climbed) > 0 ? Number(climbed) : 1;
  return { type, id, ring: rings, conversation: of, step, title: words(title, TITLE_CHARS), body: words(body, BODY_CHARS) };
}

/** One notification a conversation: a later step replaces it. An alarm is one by itself. */
export const tagOf = (about: { ring: string; conversation: string | null }): string => about.conversation ?? about.ring;

/** Where the desk shows it. */
export function addressOf({ type, ring, conversation }: Pick<Carried, 'type' | 'ring' | 'conversation'>): string {
  if (conversation) return `/desk/inbox/open/${encodeURIComponent(conversation)}`;
  if (ring) return `/desk/bell/${encodeURIComponent(ring)}`;
  return type === 'test' ? '/desk/settings/devices' : '/';
}

/** Whether a tab at this address shows the desk, and not the website chat's trial or the API's reference. */
export const isDesk = (url: string): boolean => /^\/(?:$|desk(?:\/|$))/.test(new URL(url).pathname);
