import { bell } from './en/bell';
import { common } from './en/common';
import { conversation } from './en/conversation';
import { devices } from './en/devices';
import { hearing } from './en/hearing';
import { hooks } from './en/hooks';
import { hours } from './en/hours';
import { inbox } from './en/inbox';
import { problems } from './en/problems';
import { push } from './en/push';
import { review } from './en/review';
import { settings } from './en/settings';
import { signin } from './en/signin';

/** The desk's words in English: short, friendly, exact. One file a part, so that each part is read as a whole. */
export const en = { ...common, ...inbox, ...conversation, ...settings, ...signin, ...hearing, ...problems, ...push, ...bell, ...devices, ...hooks, ...hours, ...review };
