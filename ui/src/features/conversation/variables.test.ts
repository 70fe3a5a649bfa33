import { describe, expect, it } from 'vitest';

import { fill, variablesOf } from './variables';

const about = variablesOf({ contact: 'Ewa Zielińska', agent: 'Ana', channel: 'Butik', shop: 'Butik Moda' });

describe('variables', () => {
  it('are filled in', () => {
    expect(fill('Hello {{contact.first_name}} ({{ contact.name }}), {{agent.name}} of {{shop.name}} by {{channel.name}}.', about)).toBe(
      'Hello Ewa (Ewa Zielińska), Ana of Butik Moda by Butik.',
    );
  });

  it('stay where they are not known', () => {
    expect(fill('Hello {{contact.name}} {{order.number}}', variablesOf({ agent: 'Ana' }))).toBe('Hello {{contact.name}} {{order.number}}');
  });

  it('are filled in once', () => {
    expect(fill('{{contact.name}}', variablesOf({ contact: '{{agent.name}}', agent: 'Ana' }))).toBe('{{agent.name}}');
    expect(fill('{{contact.name}}', variablesOf({ contact: '$& $1 $$', agent: 'Ana' }))).toBe('$& $1 $$');
  });
});

const PAYLOADS = [
  '{{constructor.constructor}}', '{{__proto__.polluted}}', '{{contact.__proto__}}', '{{contact.constructor}}', '{{toString.call}}', '{{7*7}}', '${7*7}',
  '#{7*7}', '<%= 7*7 %>', '{{=1}}', '{{{contact.name}}}x', '{% for a in b %}', '{{contact.name|upper}}', '{{contact.name;alert(1)}}', "{{'a'.constructor.prototype}}",
  '{{$on.constructor("alert(1)")()}}', '{{this}}', '{{self.env}}', '{{config.items()}}', '{{request.application}}', '{{globalThis.process}}', '{{process.env}}',
  '{{agent.password}}', '{{agent.token}}', '{{contact["name"]}}', '{{ contact . name }}', '{{contact.name.length}}', '{{#each contact}}{{/each}}', '{{> partial}}',
  '{{&contact.name}}', '{{!-- x --}}', '{{constructor.name}}', '{{has_own.property}}', '{{\u202econtact.name}}', '{{contact\u0000.name}}', '{{hasOwnProperty.call}}',
];

describe('r11_nothing_is_evaluated', () => {
  it.each(PAYLOADS)('%s stays as it is', (payload) => {
    const filled = fill(payload, about);
    // Only what is a variable's whole name in two brackets changes, also inside a third pair.
    expect(filled).toBe(payload.replace('{{contact.name}}', 'Ewa Zielińska'));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('has 30 payloads', () => expect(PAYLOADS.length).toBeGreaterThanOrEqual(30));
});
