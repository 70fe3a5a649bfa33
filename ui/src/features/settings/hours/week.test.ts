import { describe, expect, it } from 'vitest';

import { endOf, line, nights, overnight, shownEnd, sorted, usual, wrong, type Day, type Week } from './week';

const short = (day: Day) => day.slice(0, 2);
const week = (...spans: [Day, string, string][]): Week => ({ time_zone: 'Europe/Prague', spans: spans.map(([day, from, to]) => ({ day, from, to })) });

describe('hours', () => {
  it('are told in a line, days that are alike together', () => {
    expect(line(usual('Europe/Prague'), short)).toBe('mo–fr 09:00–17:00');
    expect(line(nights('Europe/Prague'), short)).toBe('mo–su 22:00–07:00');
    expect(line(week(['saturday', '10:00', '12:00'], ['monday', '13:00', '17:00'], ['monday', '08:00', '12:00']), short)).toBe('mo 08:00–12:00 13:00–17:00, sa 10:00–12:00');
    expect(line(week(), short)).toBe('');
  });

  it('are in the order of the week', () => {
    expect(sorted(week(['sunday', '08:00', '09:00'], ['monday', '12:00', '13:00'], ['monday', '08:00', '09:00']).spans).map(({ day, from }) => `${day} ${from}`)).toEqual(['monday 08:00', 'monday 12:00', 'sunday 08:00']);
  });

  it('end at midnight as the daemon takes it', () => {
    expect([endOf('00:00'), endOf('17:00'), shownEnd('24:00'), shownEnd('17:00')]).toEqual(['24:00', '17:00', '00:00', '17:00']);
    expect(overnight({ day: 'monday', from: '22:00', to: '07:00' })).toBe(true);
    expect(overnight({ day: 'monday', from: '22:00', to: '24:00' })).toBe(false);
    expect(overnight({ day: 'monday', from: '22:00', to: '00:00' })).toBe(false);
  });

  it('are refused before they are sent where they are none', () => {
    expect(wrong(null)).toBeNull();
    expect(wrong(usual('Europe/Prague'))).toBeNull();
    expect(wrong(week())).toBe('empty');
    expect(wrong(week(['monday', '09:00', '09:00']))).toBe('bad');
    expect(wrong(week(['monday', '', '09:00']))).toBe('bad');
  });
});
