/** Variables of canned replies: `{{contact.name}}`. They are looked up and never evaluated; what is unknown stays (R11). */

export type Variables = ReadonlyMap<string, string>;

export interface About {
  contact?: string | null | undefined;
  agent?: string | null | undefined;
  channel?: string | null | undefined;
  shop?: string | null | undefined;
}

/** What the variables stand for here. One whose value is not known is left out, and stays in the text as it is. */
export function variablesOf({ contact, agent, channel, shop }: About): Variables {
  const found = new Map<string, string>();
  const put = (name: string, value: string | null | undefined) => {
    if (value?.trim()) found.set(name, value.trim());
  };
  put('contact.name', contact);
  put('contact.first_name', contact?.trim().split(/\s+/u)[0]);
  put('agent.name', agent);
  put('channel.name', channel);
  put('shop.name', shop);
  return found;
}

/** Fills in what is known. One pass: what is filled in is not looked at again. */
export const fill = (text: string, variables: Variables): string =>
  text.replace(/\{\{[ \t]*([a-z_]{1,40}\.[a-z_]{1,40})[ \t]*\}\}/g, (whole, name: string) => variables.get(name) ?? whole);
