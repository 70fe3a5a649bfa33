import { ask } from '../api/client';
import { stream } from '../stream/index.svelte';
import { session } from './session.svelte';

/** A person of the shop, as colleagues see them. */
export interface Colleague {
  id: string;
  name: string;
  email: string;
  role: 'admin' | 'agent' | 'viewer';
  status: 'active' | 'invited' | 'disabled';
  available: boolean;
  team_ids: string[];
}

export interface Team {
  id: string;
  name: string;
  member_ids: string[];
}

/** The people of the shop and their teams: for names, assigning and mentions. */
class People {
  all = $state<Colleague[]>([]);
  teams = $state<Team[]>([]);

  constructor() {
    stream.on('reset', () => void this.load());
    stream.on('desk.changed', ({ data }) => {
      if (data.what === 'users' || data.what === 'teams') void this.load();
    });
  }

  async load(): Promise<void> {
    if (session.status !== 'in') return;
    const [users, teams] = await Promise.all([
      ask<{ data: Colleague[] }>('GET', '/api/v1/users?limit=200').catch(() => null),
      ask<{ data: Team[] }>('GET', '/api/v1/teams?limit=200').catch(() => null),
    ]);
    if (users) this.all = users.data;
    if (teams) this.teams = teams.data;
  }

  /** Who can be given something. */
  get active(): Colleague[] {
    return this.all.filter((person) => person.status === 'active');
  }

  name(id: string | null | undefined): string | null {
    return id ? (this.all.find((person) => person.id === id)?.name ?? null) : null;
  }

  team(id: string | null | undefined): Team | undefined {
    return this.teams.find((team) => team.id === id);
  }
}

export const people = new People();
