import { SvelteSet } from 'svelte/reactivity';

/** Something that a key does. */
export interface Shortcut {
  /**
   * One or more keys, each as `KeyboardEvent.key` names it (`j`, `ArrowDown`, `?`, `Enter`, `Escape`), two one after the
   * other with a blank (`g u`), or with `mod+` for Ctrl or ⌘ and `shift+` where the key is a letter or a named one.
   */
  keys: string | readonly string[];
  /** What it does, in the reader's language: read anew each time it is shown. */
  label: () => string;
  /** Under which heading the help shows it. */
  group?: 'move' | 'act' | 'go' | 'other';
  /** Whether it does something now; without it always. */
  when?: () => boolean;
  /** Of several that could, the one with the highest number does; of equals the one that was added last. */
  priority?: number;
  /** Also while somebody types, as `mod+Enter`. */
  inFields?: boolean;
  /** Not shown in the help: another one's second key. */
  hidden?: boolean;
  do: (event: KeyboardEvent) => void;
}

/** So long the second of two keys is waited for, in milliseconds. */
const SEQUENCE_MS = 1200;
const MAC = typeof navigator !== 'undefined' && /Mac|iPhone|iPad/.test(navigator.platform);

const all = new SvelteSet<Shortcut>();
let first: { key: string; at: number } | null = null;

/** Adds a shortcut; what it gives takes it away: `$effect(() => shortcut({…}))`. */
export function shortcut(one: Shortcut): () => void {
  all.add(one);
  return () => all.delete(one);
}

/** Several at once. */
export function shortcuts(many: readonly Shortcut[]): () => void {
  const undo = many.map(shortcut);
  return () => undo.forEach((each) => each());
}

/** Everything that keys do now, for the help. */
export const shown = (): Shortcut[] => [...all].filter((one) => !one.hidden);

export const keysOf = (one: Shortcut): readonly string[] => (typeof one.keys === 'string' ? [one.keys] : one.keys);

/** Whether what is typed there is text. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLInputElement) return !['button', 'checkbox', 'radio', 'submit', 'reset', 'file', 'range', 'color'].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/** A key as shortcuts name it: `mod+k`, `shift+ArrowDown`, `?`. */
export function nameOf(event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'shiftKey'>): string {
  const { key, ctrlKey, metaKey, shiftKey } = event;
  const mod = ctrlKey || metaKey ? 'mod+' : '';
  // Signs such as `?` need Shift on some keyboards and not on others: for them it does not count.
  const isSign = [...key].length === 1 && key.toLowerCase() === key.toUpperCase() && key !== ' ';
  const shift = shiftKey && !isSign ? 'shift+' : '';
  return mod + shift + ([...key].length === 1 ? key.toLowerCase() : key);
}

/** Where a menu, a dialog or a list of choices is open, the keys are its own. */
const isElsewhere = (target: EventTarget | null): boolean =>
  document.querySelector('[aria-modal="true"], [role="menu"]') !== null ||
  (target instanceof Element && target.closest('[role="dialog"], [role="listbox"], [role="combobox"], [data-keys="own"]') !== null);

/** Finds and does what a key does. For tests, too. */
export function press(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.isComposing || event.altKey || ['Shift', 'Control', 'Meta', 'Alt', 'Dead'].includes(event.key)) return false;
  const name = nameOf(event);
  const typing = isTyping(event.target);
  const elsewhere = isElsewhere(event.target);
  const pair = first && event.timeStamp - first.at < SEQUENCE_MS ? `${first.key} ${name}` : null;
  first = null;
  let found: Shortcut | null = null;
  let begins = false;
  for (const one of all) {
    if ((typing || elsewhere) && !(one.inFields && !elsewhere)) continue;
    for (const key of keysOf(one)) {
      if (key === name || key === pair) {
        // Two keys that were pressed one after the other mean more than the second alone.
        const rank = (one.priority ?? 0) + (key === pair ? 1000 : 0);
        const best = found ? (found.priority ?? 0) + (pair !== null && keysOf(found).includes(pair) ? 1000 : 0) : -Infinity;
        if (rank >= best && (one.when?.() ?? true)) found = one;
      } else if (key.startsWith(`${name} `)) begins = true;
    }
  }
  if (found) {
    event.preventDefault();
    found.do(event);
    return true;
  }
  if (begins) first = { key: name, at: event.timeStamp };
  return false;
}

/** A key as it stands on this keyboard. */
export function keyWords(key: string): string[] {
  const names: Record<string, string> = {
    ArrowDown: '↓', ArrowUp: '↑', ArrowLeft: '←', ArrowRight: '→', Enter: '↵', Escape: 'Esc', ' ': 'Space',
    mod: MAC ? '⌘' : 'Ctrl', shift: MAC ? '⇧' : 'Shift',
  };
  return key.split(/[ +](?=.)/).map((part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part));
}

if (typeof document !== 'undefined') document.addEventListener('keydown', press);
