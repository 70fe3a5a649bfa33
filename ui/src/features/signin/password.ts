/** How good a new password is, in words, before the daemon has the last one: it knows more common passwords than this page. */

export type Strength = 'empty' | 'short' | 'weak' | 'fair' | 'good' | 'strong';

/** The daemon's own limits, in characters. */
export const SHORTEST = 10;
export const LONGEST = 200;

/** Pieces that the commonest passwords are made of. */
const COMMON = [
  'password', 'passwort', 'haslo', 'heslo', 'parol', 'qwerty', 'qwertz', 'azerty', 'asdfgh', 'letmein', 'welcome', 'admin', 'iloveyou', 'monkey',
  'dragon', 'football', 'baseball', 'sunshine', 'princess', 'superman', 'master', 'shadow', 'michael', 'trustno', 'deskbell', 'secret', 'login',
];

/** Steps along the alphabet, the digits or one key again: `abc`, `321`, `aaa`. They add little. */
function steps(text: string): number {
  let found = 0;
  const signs = [...text].map((sign) => sign.codePointAt(0) ?? 0);
  for (let at = 2; at < signs.length; at++) {
    const first = (signs[at - 1] ?? 0) - (signs[at - 2] ?? 0);
    const second = (signs[at] ?? 0) - (signs[at - 1] ?? 0);
    if (first === second && Math.abs(first) <= 1) found++;
  }
  return found;
}

/** What is wrong with it by the daemon's rules, as far as the page can know. */
export function broken(password: string, email = ''): 'short' | 'long' | 'email' | null {
  const length = [...password].length;
  if (length < SHORTEST) return 'short';
  if (length > LONGEST) return 'long';
  const plain = password.toLowerCase();
  const mail = email.trim().toLowerCase();
  if (mail && plain === mail) return 'email';
  return null;
}

/** A rough measure, honest at both ends: repeats, rows and common words count for little, length for much. */
export function strength(password: string, email = ''): Strength {
  if (!password) return 'empty';
  if (broken(password, email) === 'short') return 'short';
  if (broken(password, email)) return 'weak';
  const plain = password.toLowerCase();
  let counted = [...password].length - steps(plain);
  for (const word of COMMON) if (plain.includes(word)) counted -= word.length - 1;
  const name = email.split('@')[0]?.toLowerCase() ?? '';
  if (name.length >= 3 && plain.includes(name)) counted -= name.length - 1;
  const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\d/, /[^\p{L}\d]/u].filter((kind) => kind.test(password)).length;
  const different = new Set(plain).size;
  const worth = Math.min(counted, different * 1.8) + (kinds - 1) * 1.5;
  if (worth < 9) return 'weak';
  if (worth < 14) return 'fair';
  if (worth < 20) return 'good';
  return 'strong';
}
