import { language } from './index.svelte';

// Tests look at every room.
if (typeof document !== 'undefined') await language.enterRooms();
