import { main } from './en/main';
import { rooms } from './en/rooms';

/** All words of the desk in English, which the other languages follow. Only tests and types read it: a page reads its parts. */
export const en = { ...main, ...rooms };
