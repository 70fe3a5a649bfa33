/** The small colours by which channels and people are told apart. */

import { t } from './i18n/index.svelte';

const CONNECTORS: Record<string, { colour: string; name: string | (() => string) }> = {
  messenger: { colour: '#0a7cff', name: 'Messenger' },
  comments: { colour: '#3b5bdb', name: () => t('connector.comments') },
  instagram: { colour: '#d62f7b', name: 'Instagram' },
  whatsapp: { colour: '#1fa855', name: 'WhatsApp' },
  telegram: { colour: '#2aabee', name: 'Telegram' },
  webchat: { colour: '#7a5af8', name: () => t('connector.webchat') },
  email: { colour: '#b7791f', name: () => t('connector.email') },
  twilio: { colour: '#e1435a', name: 'SMS' },
  viber: { colour: '#7360f2', name: 'Viber' },
  line: { colour: '#06a94d', name: 'LINE' },
  vk: { colour: '#3f7ad6', name: 'VK' },
  slack: { colour: '#8a3a7c', name: 'Slack' },
  discord: { colour: '#5865f2', name: 'Discord' },
  teams: { colour: '#5b5fc7', name: 'Teams' },
  matrix: { colour: '#1a9c7c', name: 'Matrix' },
  form: { colour: '#8d6e63', name: () => t('connector.form') },
};

export const connectorColour = (connector: string): string => CONNECTORS[connector]?.colour ?? '#7d786f';
/** A brand is its own name; what is none has one in the reader's language. */
export function connectorName(connector: string): string {
  const name = CONNECTORS[connector]?.name ?? connector;
  return typeof name === 'string' ? name : name();
}

/** Soft pairs for initials; each word on its ground has more than 4.5 : 1. */
const PEOPLE: readonly (readonly [string, string])[] = [
  ['#ffe1cc', '#8a3b0a'], ['#dcebff', '#1b4b91'], ['#e6f4d9', '#3b6414'], ['#f2e6ff', '#5b2a86'],
  ['#fde2e2', '#8a1c1c'], ['#d9f2ee', '#0b5348'], ['#fff0c2', '#6b4e00'], ['#e3e6fb', '#343a8c'],
];

export function personColours(id: string): readonly [string, string] {
  let sum = 0;
  for (const sign of id) sum = (sum * 31 + (sign.codePointAt(0) ?? 0)) >>> 0;
  return PEOPLE[sum % PEOPLE.length] ?? ['#efede8', '#5f5b54'];
}

/** Two letters for a name, one for a single word, a question mark for nobody. */
export function initials(name: string | null | undefined): string {
  const words = (name ?? '').trim().split(/\s+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = (word: string | undefined) => [...(word ?? '')].find((sign) => /[\p{L}\p{N}]/u.test(sign)) ?? '';
  if (words.length === 0) return '?';
  const letters = words.length === 1 ? first(words[0]) : first(words[0]) + first(words.at(-1));
  return letters.toLocaleUpperCase();
}
