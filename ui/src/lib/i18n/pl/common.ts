/*
 * Glossary. Polish software speaks to a person in the imperative (Wybierz …) and not in the plural, which would sound
 * foreign; what people did is said without their gender, by forms such as „odłożono”.
 *   conversation rozmowa · message wiadomość · reply odpowiedź · note notatka · canned reply gotowa odpowiedź
 *   channel kanał · label etykieta · team zespół · view widok · inbox skrzynka · stream przegląd wiadomości · mention wzmianka
 *   assign przypisać · take przejąć · snooze odłożyć · resolve zakończyć · reopen otworzyć ponownie · pending oczekuje
 *   unanswered bez odpowiedzi · bell dzwonek · notification powiadomienie · quiet hours tryb ciszy
 *   sign in zalogować się · second factor drugi składnik · recovery code kod zapasowy · token token · audit dziennik zmian
 *   administrator administrator · agent konsultant · viewer obserwator · customer klient · shop sklep
 *   desk Deskbell · daemon serwer · connector łącznik · reply window czas na odpowiedź
 */
export const common = {
  'common.cancel': 'Anuluj',
  'common.close': 'Zamknij',
  'common.copied': 'Skopiowano',
  'common.copy': 'Kopiuj',
  'common.copyByHand': 'Zaznacz i skopiuj',
  'common.delete': 'Usuń',
  'common.loading': 'Wczytywanie…',
  'common.more': 'Więcej',
  'common.save': 'Zapisz',
  'common.saved': 'Zapisano',
  'common.optional': '(opcjonalnie)',
  'common.typeToConfirm': 'Aby potwierdzić, wpisz „{word}”',
  'common.undo': 'Cofnij',
  'common.retry': 'Spróbuj ponownie',
  'common.offline': 'Deskbell nie może połączyć się z serwerem.',
  'time.seconds': '{seconds} s',
  'time.minutesSeconds': '{minutes} min {seconds} s',
  'time.minutes': '{minutes} min',
  'time.hours': '{hours} godz.',
  'time.hoursMinutes': '{hours} godz. {minutes} min',
  'time.tookMinutes': '{minutes} min {seconds} s',
  'time.daysHours': '{days} d {hours} godz.',
  'time.days': '{days, plural, one {# dzień} few {# dni} many {# dni} other {# dnia}}',
  'common.unknownPerson': 'Ktoś',
  'connector.comments': 'Komentarze',
  'connector.webchat': 'Czat na stronie',
  'connector.email': 'E-mail',
  'connector.form': 'Formularz',
  'devices.aBrowser': 'Przeglądarka',
  'you.sessions.on': '{browser}, {system}',
} as const;
