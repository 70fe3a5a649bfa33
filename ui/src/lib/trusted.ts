/** The page's policy lets no text become code. Workers are code by address: only files of this desk's own build are let through. */

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): unknown };
}

const types = (globalThis as unknown as { trustedTypes?: TrustedTypes }).trustedTypes;

const policy = types?.createPolicy('deskbell-workers', {
  createScriptURL(url) {
    const { origin, pathname } = new URL(url, location.href);
    if (origin === location.origin && (pathname === '/sw.js' || /^\/ui\/[\w.-]+\.js$/.test(pathname) || import.meta.env.DEV)) return url;
    throw new TypeError(`${url} is no worker of this desk`);
  },
});

/** The address of a worker of ours, as constructors of workers take it. */
export const workerUrl = (url: string): string => (policy ? (policy.createScriptURL(url) as string) : url);
