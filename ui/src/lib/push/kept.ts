/** What this browser knows of itself as a device of the desk, for its pages and for its worker, which has no other memory. */
export interface ThisDevice {
  /** `dev_…` */
  id: string;
  /** Whose it is: `usr_…` */
  user: string;
  /** What the daemon is told that this browser is, as `Firefox on Linux`. */
  name: string;
}

export interface Memory {
  get(): Promise<ThisDevice | null>;
  set(device: ThisDevice | null): Promise<void>;
}

/** The pushes that this browser has shown, the last ones. */
export interface Pushes {
  has(id: string): Promise<boolean>;
  add(id: string): Promise<void>;
}

/** So many of them are known: a daemon sends one again at its start, and so soon nobody forgets. */
const MOST_PUSHES = 200;

const DATABASE = 'deskbell';
const STORE = 'device';
const ONE = 'this';
const LANGUAGE = 'language';
const PUSHES = 'pushes';

async function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(DATABASE, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error('The browser keeps nothing.'));
  });
}

async function run(mode: IDBTransactionMode, what: (store: IDBObjectStore) => IDBRequest): Promise<unknown> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const change = database.transaction(STORE, mode);
      const asked = what(change.objectStore(STORE));
      change.oncomplete = () => resolve(asked.result);
      change.onabort = () => reject(change.error ?? new Error('The browser keeps nothing.'));
    });
  } finally {
    database.close();
  }
}

/** In the browser's own database. A browser that keeps nothing is a device that is made known anew each time. */
export const kept: Memory = {
  async get() {
    try {
      const found = ((await run('readonly', (store) => store.get(ONE))) as ThisDevice | undefined) ?? null;
      return found && typeof found.id === 'string' && typeof found.user === 'string' ? found : null;
    } catch {
      return null;
    }
  },
  async set(device) {
    try {
      await run('readwrite', (store) => (device ? store.put(device, ONE) : store.delete(ONE)));
    } catch {
      // It is made known anew.
    }
  },
};

const idsOf = (value: unknown): string[] => (Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []);

export const keptPushes: Pushes = {
  async has(id) {
    try {
      return idsOf(await run('readonly', (store) => store.get(PUSHES))).includes(id);
    } catch {
      // What is not known rings: twice is better than never.
      return false;
    }
  },
  async add(id) {
    try {
      await run('readwrite', (store) => {
        const asked: IDBRequest<unknown> = store.get(PUSHES);
        asked.onsuccess = () => store.put([...idsOf(asked.result), id].slice(-MOST_PUSHES), PUSHES);
        return asked;
      });
    } catch {
      // It may ring once more.
    }
  },
};

/** What the person chose, for the worker, which does not see what pages keep; `null` follows the browser. */
export const keptLanguage = {
  async get(): Promise<unknown> {
    try {
      return await run('readonly', (store) => store.get(LANGUAGE));
    } catch {
      return null;
    }
  },
  async set(code: string | null): Promise<void> {
    try {
      await run('readwrite', (store) => (code ? store.put(code, LANGUAGE) : store.delete(LANGUAGE)));
    } catch {
      // The worker follows the browser.
    }
  },
};
