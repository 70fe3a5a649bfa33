import { common } from './common';
import { conversation } from './conversation';
import { hearing } from './hearing';
import { inbox } from './inbox';
import { problems } from './problems';
import { push } from './push';
import { signin } from './signin';

/** What is said in English wherever one is: short, friendly, exact. One file a part, so that each part is read as a whole. */
export const main = { ...common, ...inbox, ...conversation, ...signin, ...hearing, ...problems, ...push };
