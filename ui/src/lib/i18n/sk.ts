import { bell } from './sk/bell';
import { common } from './sk/common';
import { conversation } from './sk/conversation';
import { devices } from './sk/devices';
import { hearing } from './sk/hearing';
import { inbox } from './sk/inbox';
import { problems } from './sk/problems';
import { push } from './sk/push';
import { settings } from './sk/settings';
import { signin } from './sk/signin';

/** The desk's words in Slovak. The glossary stands in `sk/common.ts`. */
export const sk = { ...common, ...inbox, ...conversation, ...settings, ...signin, ...hearing, ...problems, ...push, ...bell, ...devices };
