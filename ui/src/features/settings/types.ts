/** What the daemon tells of people and what belongs to them. */

export type Role = 'admin' | 'agent' | 'viewer';
export type VisibleChannels = 'all' | string[];

export interface User {
  id: string;
  email: string;
  name: string;
  role: Role;
  channels: VisibleChannels;
  team_ids: string[];
  status: 'active' | 'invited' | 'disabled';
  two_factor: boolean;
  available: boolean;
  created_at: string;
  last_seen_at: string | null;
}

export interface Invitation {
  url: string;
  expires_at: string;
  /** Whether it went out by mail, where the daemon tells. */
  mailed?: boolean;
}

export interface OwnSession {
  id: string;
  created_at: string;
  last_seen_at: string | null;
  address: string | null;
  agent: string | null;
  current: boolean;
}

export interface Audited {
  id: string;
  at: string;
  actor: { type: string; id: string; name: string };
  action: string;
  target: { type: string; id: string; name: string } | null;
  detail: Record<string, unknown>;
  address: string | null;
}

export interface Reply {
  id: string;
  shortcut: string;
  title: string;
  text: string;
  channels: string[] | null;
  updated_at: string;
}

export interface Label {
  name: string;
  color: string;
  description?: string | null;
}

export interface View {
  id: string;
  name: string;
  filter: Record<string, unknown>;
  shared: boolean;
  owner_id: string;
  created_at: string;
}

export interface ShopSettings {
  shop_name: string;
  unread_until: 'read' | 'answered';
  default_view: string;
}
