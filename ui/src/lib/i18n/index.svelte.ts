import { IntlMessageFormat } from 'intl-messageformat';

import { keptLanguage } from '../push/kept';
import { chosen, keep, onChoice, spoken, type Code } from './choice';
import { en } from './en';

export { isCode, languages, type Code } from './choice';

export type Words = typeof en;
export type Key = keyof Words & string;
type Values = Record<string, string | number | boolean | Date | null | undefined>;
type Catalogue = Partial<Record<Key, string>>;

/** Each language's words are a file of their own, read when somebody speaks it. */
export const loaders: Record<Exclude<Code, 'en'>, () => Promise<Catalogue>> = {
  sk: () => import('./sk').then(({ sk }) => sk),
  cs: () => import('./cs').then(({ cs }) => cs),
  pl: () => import('./pl').then(({ pl }) => pl),
  de: () => import('./de').then(({ de }) => de),
};

class Language {
  /** What is spoken. */
  code = $state<Code>('en');
  /** What the person chose; `null` follows the browser. */
  chosen = $state<Code | null>(null);
  words: Catalogue = $state.raw(en);
  #wanted: Code = 'en';

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
    const words = code === 'en' ? en : await loaders[code]().catch(() => null);
    // Somebody chose another one while this was read.
    if (this.#wanted !== code) return;
    this.words = words ?? en;
    this.code = words ? code : 'en';
    document.documentElement.lang = this.code;
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
  const text = own ?? en[key];
  if (!values) return text;
  // What is said in English for want of words follows the rules of English.
  const code = own === undefined ? 'en' : language.code;
  const id = `${code} ${text}`;
  let format = formats.get(id);
  if (!format) formats.set(id, (format = new IntlMessageFormat(text, code)));
  const said = format.format(values);
  return typeof said === 'string' ? said : String(said);
}
