import { beforeEach, describe, expect, it, vi } from 'vitest';

import { chosen, keep, spoken } from './choice';
import { language, loaders, rooms, t } from './index.svelte';

const browserAsks = (languages: string[]) => vi.spyOn(navigator, 'languages', 'get').mockReturnValue(languages);

beforeEach(async () => {
  localStorage.clear();
  vi.restoreAllMocks();
  browserAsks(['en-GB']);
  await language.choose(null);
});

describe('the language of the desk', () => {
  it('is the first of the browser’s that the desk speaks, whatever its country', () => {
    expect(spoken(['fr-FR', 'de-AT', 'sk'])).toBe('de');
    expect(spoken(['SK'])).toBe('sk');
    expect(spoken(['cs_CZ', 'en'])).toBe('cs');
    expect(spoken(['en-GB', 'sk'])).toBe('en');
    expect(spoken(['hu', 'constructor', '__proto__'])).toBe('en');
    expect(spoken([])).toBe('en');
  });

  it('is what the person chose, kept on the device, until they follow the browser again', async () => {
    browserAsks(['pl']);
    await language.choose('sk');
    expect([language.code, language.chosen, chosen(), document.documentElement.lang]).toEqual(['sk', 'sk', 'sk', 'sk']);
    expect(t('common.cancel')).toBe('Zrušiť');
    await language.choose(null);
    expect([language.code, language.chosen, chosen(), document.documentElement.lang]).toEqual(['pl', null, null, 'pl']);
  });

  it('does not take what it does not speak from what was kept', () => {
    localStorage.setItem('deskbell.language', 'toString');
    expect(chosen()).toBeNull();
  });

  it('follows another tab', async () => {
    await language.begin();
    keep('de');
    window.dispatchEvent(new StorageEvent('storage', { key: 'deskbell.language' }));
    await vi.waitFor(() => expect(language.code).toBe('de'));
  });

  it('is the last that was wanted, though an earlier one is read later', async () => {
    let give: (words: Record<string, string>) => void = () => undefined;
    vi.spyOn(loaders, 'cs').mockReturnValueOnce(new Promise((resolve) => (give = resolve)));
    const slow = language.speak('cs');
    await language.speak('de');
    give({ 'common.cancel': 'Zrušit' });
    await slow;
    expect([language.code, t('common.cancel')]).toEqual(['de', 'Abbrechen']);
  });

  it('is English where its words cannot be read, and for a word that it lacks', async () => {
    vi.spyOn(loaders, 'cs').mockRejectedValueOnce(new Error('no such file')).mockResolvedValueOnce({ 'common.close': 'Zavřít' });
    await language.speak('cs');
    expect([language.code, document.documentElement.lang, t('common.close')]).toEqual(['en', 'en', 'Close']);
    await language.speak('cs');
    expect([language.code, t('common.close'), t('nav.count', { count: 2 })]).toEqual(['cs', 'Zavřít', '2 conversations']);
  });

  it('has the words of the rooms, in every language that is chosen afterwards; what cannot be read is said in English', async () => {
    await language.speak('sk');
    expect(t('settings.hooks')).toBe('Háčiky');
    await language.speak('en');
    expect(t('settings.hooks')).toBe('Hooks');
    vi.spyOn(rooms, 'pl').mockRejectedValueOnce(new Error('no such file'));
    await language.speak('pl');
    expect([language.code, t('settings.hooks')]).toEqual(['pl', 'Hooks']);
  });

  it('counts as its grammar does', async () => {
    const said = async (code: 'sk' | 'cs' | 'pl' | 'de', counts: number[]) => {
      await language.speak(code);
      return counts.map((count) => t('conversation.new', { count }));
    };
    expect(await said('sk', [1, 3, 5, 22])).toEqual(['1 nová správa', '3 nové správy', '5 nových správ', '22 nových správ']);
    expect(await said('cs', [1, 4, 0])).toEqual(['1 nová zpráva', '4 nové zprávy', '0 nových zpráv']);
    expect(await said('pl', [1, 2, 5, 12, 22])).toEqual(['1 nowa wiadomość', '2 nowe wiadomości', '5 nowych wiadomości', '12 nowych wiadomości', '22 nowe wiadomości']);
    expect(await said('de', [1, 2])).toEqual(['1 neue Nachricht', '2 neue Nachrichten']);
  });
});
