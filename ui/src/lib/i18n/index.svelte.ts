import { IntlMessageFormat } from 'intl-messageformat';

import { en } from './en';

export type Words = typeof en;
export type Key = keyof Words & string;
type Values = Record<string, string | number | boolean | Date | null | undefined>;

/** The languages of the desk, by their own names. */
export const languages: Record<string, string> = { en: 'English' };

const loaders: Record<string, () => Promise<Partial<Record<Key, string>>>> = {};

class Language {
  code = $state('en');
  words: Partial<Record<Key, string>> = $state.raw(en);

  /** Speaks this language from now on; what it has no words for is said in English. */
  async speak(code: string): Promise<void> {
    const load = loaders[code];
    this.words = load ? await load() : en;
    this.code = load ? code : 'en';
    document.documentElement.lang = this.code;
  }
}

export const language = new Language();

const formats = new Map<string, IntlMessageFormat>();

/** Words of the desk in the reader's language, by ICU's rules for plurals. */
export function t(key: Key, values?: Values): string {
  const text = language.words[key] ?? en[key];
  if (!values) return text;
  const id = `${language.code} ${text}`;
  let format = formats.get(id);
  if (!format) formats.set(id, (format = new IntlMessageFormat(text, language.code)));
  const said = format.format(values);
  return typeof said === 'string' ? said : String(said);
}
