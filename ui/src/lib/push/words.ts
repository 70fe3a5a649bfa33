import { isCode, spoken, type Code } from '../i18n/choice';
import { push as cs } from '../i18n/cs/push';
import { push as de } from '../i18n/de/push';
import { push as en } from '../i18n/en/push';
import { push as pl } from '../i18n/pl/push';
import { push as sk } from '../i18n/sk/push';

export type PushWords = Record<keyof typeof en, string>;

const WORDS: Record<Code, PushWords> = { en, sk, cs, pl, de };

/** The worker's words in the language that the person chose for this browser, else in the first that it asks for. */
export const wordsFor = (chosen: unknown, wanted: readonly string[]): PushWords => WORDS[isCode(chosen) ? chosen : spoken(wanted)];
