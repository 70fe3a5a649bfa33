import { common } from './cs/common';
import { conversation } from './cs/conversation';
import { hearing } from './cs/hearing';
import { inbox } from './cs/inbox';
import { problems } from './cs/problems';
import { settings } from './cs/settings';
import { signin } from './cs/signin';

/** The desk's words in Czech. The glossary stands in `cs/common.ts`. */
export const cs = { ...common, ...inbox, ...conversation, ...settings, ...signin, ...hearing, ...problems };
