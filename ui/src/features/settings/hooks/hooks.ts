import type { VisibleChannels } from '../types';

/** A hook as the daemon tells of it; its secrets are shown once, when they are made. */
export interface Hook {
  id: string;
  kind: HookKind;
  url: string;
  /** Of a command its id in the operator's file. */
  command?: string | null;
  events: string[];
  channels: VisibleChannels;
  escalation: boolean;
  enabled: boolean;
  /** Why the daemon switched it off. */
  disabled_reason?: string | null;
  failing_since?: string | null;
  replaying: boolean;
  former_secret_until?: string | null;
  has_access_token: boolean;
  created_at: string;
}

export type HookKind = 'webhook' | 'ntfy' | 'gotify' | 'pushover' | 'slack' | 'discord' | 'teams' | 'command';
export type WithSecret = Hook & { secret?: string | null };

export interface Delivery {
  id: string;
  webhook_id: string;
  event: string;
  event_at: string;
  created_at: string;
  state: 'waiting' | 'delivered' | 'dead';
  next_attempt_at?: string | null;
  tries: number;
  attempts: Try[];
  body: string;
}

/** An attempt to deliver. */
export interface Try {
  at: string;
  took_ms: number;
  status?: number | null;
  error?: string | null;
  answer?: string | null;
}

/** The kinds that a person can make here; commands stand in the operator's file. */
export const KINDS = ['webhook', 'ntfy', 'gotify', 'pushover', 'slack', 'discord', 'teams'] as const;

/** What an address of a kind begins with. */
export const EXAMPLES: Record<HookKind, string> = {
  webhook: '', command: '', teams: '',
  ntfy: 'https://ntfy.sh/…', gotify: 'https://push.example.com/', pushover: 'https://api.pushover.net/1/messages.json?user=',
  slack: 'https://hooks.slack.com/services/…', discord: 'https://discord.com/api/webhooks/…',
};

/** Whether a kind has an access token: `needed` always, `possible` where the server wants one. */
export const tokenOf = (kind: HookKind): 'none' | 'possible' | 'needed' =>
  kind === 'ntfy' ? 'possible' : kind === 'gotify' || kind === 'pushover' ? 'needed' : 'none';

/** The events that can be chosen, in the order of the list. */
export const EVENTS = [
  'message.created', 'message.updated', 'conversation.created', 'conversation.updated', 'contact.created', 'contact.updated', 'contact.deleted',
  'channel.health', 'bell.rung', 'bell.acknowledged',
] as const;

/** What a kind hears of until somebody says otherwise: where people read it rings, programs hear what is written. */
export const usual = (kind: HookKind): string[] => (kind === 'webhook' ? ['message.created'] : ['bell.rung']);

/** What a hook is called: its host and the end of its path, since the whole of it may be a secret. */
export function nameOf(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return pathname.length > 1 ? `${host}/…${pathname.slice(-8).replace(/^.*\//, '')}` : host;
  } catch {
    return url;
  }
}

/** What a hook is called: a command has a name of its own. */
export const titleOf = (hook: Pick<Hook, 'command' | 'url'>): string => hook.command ?? nameOf(hook.url);

/** A body as people read it: JSON with its lines, everything else as it is. */
export function readable(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
