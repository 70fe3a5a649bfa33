import type { ApiProblem, Schemas } from '../../../lib/api/client';
import { fieldWords } from '../../../lib/api/fields';

export type Described = Schemas['DescribedSetting'];

/** A setting of a channel as the daemon tells it. The document calls the value an object; it is what the setting holds. */
export interface Current {
  key: string;
  value?: unknown;
  secret: boolean;
  set: boolean;
}

/** One field of the form, with what stands in it. */
export interface FormField {
  setting: Described;
  /** A flag is a boolean; a list is its lines; a secret is empty until somebody writes a new one. */
  value: string | boolean;
  /** What stood in it at first. */
  before: string | boolean;
  /** Whether a secret is kept by the daemon already. */
  kept: boolean;
  /** Whether a kept secret is to be taken out. */
  removed: boolean;
}

export interface FormGroup {
  /** The first part of dotted keys, `imap` of `imap.host`; empty for keys without a dot. */
  name: string;
  fields: FormField[];
}

const lines = (value: unknown): string => (Array.isArray(value) ? value.map(String).join('\n') : '');

const listOf = (text: string): string[] =>
  text
    .split(/[\n,]/)
    .map((line) => line.trim())
    .filter(Boolean);

/** The fields for these settings, filled with what a channel has. */
export function fieldsFor(described: readonly Described[], current: readonly Current[] = []): FormField[] {
  const known = new Map(current.map((one) => [one.key, one]));
  return described.map((setting) => {
    const now = known.get(setting.key);
    const value = firstValue(setting, now);
    return { setting, value, before: value, kept: setting.secret && (now?.set ?? false), removed: false };
  });
}

function firstValue(setting: Described, now: Current | undefined): string | boolean {
  if (setting.secret) return '';
  const value = now?.value ?? undefined;
  if (setting.kind === 'flag') return value === undefined ? setting.default === 'true' : value === true || value === 'true';
  if (setting.kind === 'list') return lines(value);
  if (value !== undefined) return String(value);
  return setting.default ?? '';
}

/** What is rarely touched stands apart: texts that have a good value of their own. */
const isAdvanced = ({ setting }: FormField): boolean => !setting.required && setting.kind === 'text' && setting.default != null;

/** The fields as they are shown: those without a dot, then one group for each first part, and what is rarely touched. */
export function groupsOf(fields: readonly FormField[]): { groups: FormGroup[]; advanced: FormField[] } {
  const groups = new Map<string, FormField[]>([['', []]]);
  const advanced: FormField[] = [];
  for (const field of fields) {
    const { key } = field.setting;
    const name = key.includes('.') ? key.slice(0, key.indexOf('.')) : '';
    if (isAdvanced(field) && !name) advanced.push(field);
    else if (groups.has(name)) groups.get(name)?.push(field);
    else groups.set(name, [field]);
  }
  return {
    groups: [...groups].filter(([, inside]) => inside.length).map(([name, inside]) => ({ name, fields: inside })),
    advanced,
  };
}

/**
 * The `settings` of a request: for a new channel what was given, for a change only what differs. A secret that nobody
 * touched is never among them; `null` takes an optional setting out.
 */
export function settingsOf(fields: readonly FormField[], mode: 'new' | 'change'): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  for (const field of fields) {
    const wanted = wantedOf(field, mode);
    if (wanted !== undefined) entries.push([field.setting.key, wanted]);
  }
  // Not by assignment: `__proto__` would be a key like the others.
  return Object.fromEntries(entries);
}

function wantedOf(field: FormField, mode: 'new' | 'change'): unknown {
  const { setting, value, before } = field;
  if (setting.secret) {
    if (typeof value === 'string' && value !== '') return value;
    return mode === 'change' && field.kept && field.removed && !setting.required ? null : undefined;
  }
  if (typeof value === 'boolean') return value === before ? undefined : value;
  const text = setting.kind === 'list' ? listOf(value).join('\n') : value.trim();
  const was = setting.kind === 'list' ? listOf(String(before)).join('\n') : String(before).trim();
  if (mode === 'change' ? text === was : text === '' || text === (setting.default ?? '')) return undefined;
  if (text === '') return setting.required ? '' : null;
  return setting.kind === 'list' ? text.split('\n') : text;
}

/** Fields that the daemon would miss. */
export const missing = (fields: readonly FormField[]): FormField[] =>
  fields.filter(({ setting, value, kept, removed }) => setting.required && typeof value === 'string' && value.trim() === '' && !(setting.secret && kept && !removed));

/** Whether anything would be sent. */
export const changed = (fields: readonly FormField[]): boolean => Object.keys(settingsOf(fields, 'change')).length > 0;

/** The setting that a JSON pointer below `/settings` means: `/settings/imap/host` and `/settings/imap.host` are one. */
export function keyAt(pointer: string): string | null {
  if (!pointer.startsWith('/settings/')) return null;
  const parts = pointer.slice('/settings/'.length).split('/');
  return parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')).join('.');
}

/** What the daemon said of each field, and what it said of none of them. */
export function problemsOf(problem: ApiProblem | null, fields: readonly FormField[], others: readonly string[]): { at: Map<string, string>; rest: string[] } {
  const at = new Map<string, string>();
  const rest: string[] = [];
  if (!problem) return { at, rest };
  const keys = fields.map((field) => field.setting.key);
  for (const { pointer, detail: said } of problem.fields) {
    const detail = fieldWords(said);
    const key = keyAt(pointer);
    // A list tells which of its items is wrong: `/settings/allowed_origins/0`.
    const known = key === null ? undefined : (keys.find((one) => one === key) ?? keys.find((one) => key.startsWith(`${one}.`)));
    if (known !== undefined) at.set(known, detail);
    else if (others.includes(pointer)) at.set(pointer, detail);
    else rest.push(`${pointer.replace(/^\//, '')} ${detail}`.trim());
  }
  if (problem.fields.length === 0) rest.push(problem.words);
  return { at, rest };
}

const SPELT = new Map([
  ['id', 'ID'], ['ids', 'IDs'], ['api', 'API'], ['url', 'URL'], ['imap', 'IMAP'], ['smtp', 'SMTP'], ['sid', 'SID'], ['oauth', 'OAuth'], ['vk', 'VK'],
]);

/** A key as people write it: `page_access_token` is "Page access token", `imap.host` is "Host". */
export function labelOf(key: string): string {
  const words = (key.split('.').pop() ?? key).split(/[_-]/).filter(Boolean).map((word) => SPELT.get(word) ?? word);
  const text = words.join(' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A slug for a name: letters of a-z, digits and dashes, at most 63. */
export function slugOf(name: string): string {
  return name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[łŁ]/g, 'l')
    .replace(/ß/g, 'ss')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
}
