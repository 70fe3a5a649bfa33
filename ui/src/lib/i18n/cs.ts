import { bell } from './cs/bell';
import { common } from './cs/common';
import { conversation } from './cs/conversation';
import { devices } from './cs/devices';
import { hearing } from './cs/hearing';
import { inbox } from './cs/inbox';
import { problems } from './cs/problems';
import { push } from './cs/push';
import { settings } from './cs/settings';
import { signin } from './cs/signin';

/** The desk's words in Czech. The glossary stands in `cs/common.ts`. */
export const cs = { ...common, ...inbox, ...conversation, ...settings, ...signin, ...hearing, ...problems, ...push, ...bell, ...devices };
