import { bell } from './pl/bell';
import { common } from './pl/common';
import { conversation } from './pl/conversation';
import { devices } from './pl/devices';
import { hearing } from './pl/hearing';
import { inbox } from './pl/inbox';
import { problems } from './pl/problems';
import { push } from './pl/push';
import { settings } from './pl/settings';
import { signin } from './pl/signin';

/** The desk's words in Polish. The glossary stands in `pl/common.ts`. */
export const pl = { ...common, ...inbox, ...conversation, ...settings, ...signin, ...hearing, ...problems, ...push, ...bell, ...devices };
