import { bell } from './de/bell';
import { common } from './de/common';
import { conversation } from './de/conversation';
import { devices } from './de/devices';
import { hearing } from './de/hearing';
import { inbox } from './de/inbox';
import { problems } from './de/problems';
import { push } from './de/push';
import { settings } from './de/settings';
import { signin } from './de/signin';

/** The desk's words in German. The glossary stands in `de/common.ts`. */
export const de = { ...common, ...inbox, ...conversation, ...settings, ...signin, ...hearing, ...problems, ...push, ...bell, ...devices };
