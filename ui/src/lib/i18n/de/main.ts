import { common } from './common';
import { conversation } from './conversation';
import { hearing } from './hearing';
import { inbox } from './inbox';
import { problems } from './problems';
import { push } from './push';
import { signin } from './signin';

/** What is said in German wherever one is. The glossary stands in `common.ts`. */
export const main = { ...common, ...inbox, ...conversation, ...signin, ...hearing, ...problems, ...push };
