import { bell } from './bell';
import { devices } from './devices';
import { hooks } from './hooks';
import { hours } from './hours';
import { settings } from './settings';

/** What is said in Polish in the settings and in the room of the bell only: read when somebody goes there. */
export const rooms = { ...settings, ...bell, ...devices, ...hooks, ...hours };
