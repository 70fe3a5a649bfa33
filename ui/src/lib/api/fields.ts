import { language, t, type Key } from '../i18n/index.svelte';

/**
 * What the daemon says of a field has no code, only its English sentence. Those that people meet are known here by their
 * form, the parts in brackets being what they tell; what is not known is said as it came.
 */
const SENTENCES: readonly (readonly [form: RegExp, key: Key, ...names: string[]])[] = [
  [/^(?:It may have|Use at most|.{1,40}\bhas|.{1,40}\bof at most) ([\d,]+) characters(?: at the most)?(?: here)?\.$/, 'field.most', 'n'],
  [/\bhas 1 to ([\d,]+) characters, one of them visible\.$/, 'field.length', 'n'],
  [/^A shortcut has 1 to (\d+) characters and no spaces\.$/, 'field.shortcut', 'n'],
  [/^A password has (\d+) to (\d+) characters/, 'field.password', 'from', 'to'],
  [/^The e-mail address is no password/, 'field.passwordIsEmail'],
  [/^This is one of the passwords that are tried first/, 'field.passwordKnown'],
  [/^This is not your password\.$/, 'field.notYourPassword'],
  [/^(?:This is no|An) e-mail address, as /, 'field.email'],
  [/^There is no channel `([^`]+)`\.$/, 'field.noChannel', 'name'],
  [/^There is no such time zone/, 'field.zone'],
  [/^There is no such (?:person|team|contact|message|upload)\b/, 'field.gone'],
  [/^There is an? [a-z]+ of this name already\.$/, 'field.nameTaken'],
  [/^Name at least one\b/, 'field.one'],
  [/^This time is past\b/, 'field.past'],
  [/^(?:is missing\b|missing field\b)/, 'field.missing'],
  [/^(?:It )?is empty\.$/i, 'field.empty'],
  [/^Deskbell does not call this address: (.+)\.$/, 'field.noCall', 'why'],
  [/^It ends when it begins\b/, 'field.span'],
  [/^There is no variable \{(\w+)\}/, 'field.variable', 'name'],
  [/^They may not sign in, or may not answer/, 'field.mayNot'],
];

/** What is wrong with a field, in the reader's language where the desk knows the daemon's sentence. */
export function fieldWords(detail: string): string {
  if (language.code === 'en') return detail;
  for (const [form, key, ...names] of SENTENCES) {
    const found = form.exec(detail);
    if (found) return t(key, Object.fromEntries(names.map((name, n) => [name, found[n + 1]])));
  }
  return detail;
}
