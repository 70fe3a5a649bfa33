import { IntlMessageFormat } from 'intl-messageformat';

import { keptLanguage } from '../push/kept';
import { chosen, keep, onChoice, spoken, type Code } from './choice';
import type { en } from './en';
import { main } from './en/main';

export { isCode, languages, type Code } from './choice';

export type Words = typeof en;
export type Key = keyof Words & string;
type Values = Record<string, string | number | boolean | Date | null | undefined>;
type Catalogue = Partial<Record<Key, string>>;

/** Each language's words are files of their own, read when somebody speaks it. */
export const loaders: Record<Exclude<Code, 'en'>, () => Promise<Catalogue>> = {
  sk: () => import('./sk/main').then(({ main }) => main),
  cs: () => import('./cs/main').then(({ main }) => main),
  pl: () => import('./pl/main').then(({ main }) => main),
  de: () => import('./de/main').then(({ main }) => main),
};

/** The words of the settings and of the room of the bell, read by who goes there. */
export const rooms: Record<Code, () => Promise<Catalogue>> = {
  en: () => import('./en/rooms').then(({ rooms }) => rooms),
  sk: () => import('./sk/rooms').then(({ rooms }) => rooms),
  cs: () => import('./cs/rooms').then(({ rooms }) => rooms),
  pl: () => import('./pl/rooms').then(({ rooms }) => rooms),
  de: () => import('./de/rooms').then(({ rooms }) => rooms),
};

class Language {
  /** What is spoken. */
  code = $state<Code>('en');
  /** What the person chose; `null` follows the browser. */
  chosen = $state<Code | null>(null);
  words: Catalogue = $state.raw(main);
  /** For what a language has no words. */
  english: Catalogue = $state.raw(main);
  #wanted: Code = 'en';
  /** Somebody is, or was, where its words are needed. */
  #inRooms = false;

  /** Speaks what was chosen on this device, or what the browser asks for, from now on. */
  async begin(): Promise<void> {
    onChoice(() => void this.#follow());
    addEventListener('languagechange', () => void this.#follow());
    await this.#follow();
  }

  /** Keeps what the person chose, and speaks it; `null` follows the browser. */
  async choose(code: Code | null): Promise<void> {
    keep(code);
    void keptLanguage.set(code);
    this.chosen = code;
    await this.speak(code ?? spoken(navigator.languages));
  }

  /** Speaks this language; what it has no words for is said in English, as is everything where they cannot be read. */
  async speak(code: Code): Promise<void> {
    this.#wanted = code;
    const words = code === 'en' ? this.english : await this.#read(code);
    // Somebody chose another one while this was read.
    if (this.#wanted !== code) return;
    this.words = words ?? this.english;
    this.code = words ? code : 'en';
    document.documentElement.lang = this.code;
  }

  /** Reads what is said in the settings and in the room of the bell. Throws where it cannot be read. */
  async enterRooms(): Promise<void> {
    if (this.#inRooms) return;
    const [english] = await Promise.all([rooms.en(), rooms[this.#wanted]()]);
    this.english = { ...this.english, ...english };
    this.#inRooms = true;
    await this.speak(this.#wanted);
  }

  async #read(code: Exclude<Code, 'en'>): Promise<Catalogue | null> {
    // A language without its words for the rooms is still that language.
    const more = this.#inRooms ? rooms[code]().catch(() => null) : null;
    try {
      return { ...(await loaders[code]()), ...(await more) };
    } catch {
      return null;
    }
  }

  async #follow(): Promise<void> {
    this.chosen = chosen();
    await this.speak(this.chosen ?? spoken(navigator.languages));
  }
}

export const language = new Language();

const formats = new Map<string, IntlMessageFormat>();

/** Words of the desk in the reader's language, by ICU's rules for plurals. */
export function t(key: Key, values?: Values): string {
  const own = language.words[key];
  const text = own ?? language.english[key] ?? key;
  if (!values) return text;
  // What is said in English for want of words follows the rules of English.
  const code = own === undefined ? 'en' : language.code;
  const id = `${code} ${text}`;
  let format = formats.get(id);
  if (!format) formats.set(id, (format = new IntlMessageFormat(text, code)));
  const said = format.format(values);
  return typeof said === 'string' ? said : String(said);
}
