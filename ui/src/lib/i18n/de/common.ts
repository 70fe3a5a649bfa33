/*
 * Glossary. The person at the desk is addressed with „Sie“.
 *   conversation Unterhaltung · message Nachricht · reply Antwort · note Notiz · canned reply Textbaustein
 *   channel Kanal · label Label · team Team · view Ansicht · inbox Posteingang · stream Nachrichtenstrom · mention Erwähnung
 *   assign zuweisen · take übernehmen · snooze zurückstellen · resolve erledigen · reopen wieder öffnen · pending wartend
 *   unanswered unbeantwortet · bell Klingel · notification Benachrichtigung · quiet hours Ruhezeit
 *   sign in anmelden · second factor zweiter Faktor · recovery code Wiederherstellungscode · token Token · audit Protokoll
 *   administrator Administrator · agent Agent · viewer Betrachter · customer Kunde · shop Shop
 *   desk Deskbell · daemon Server · connector Anbindung · reply window Antwortfrist
 */
export const common = {
  'common.cancel': 'Abbrechen',
  'common.close': 'Schließen',
  'common.copied': 'Kopiert',
  'common.copy': 'Kopieren',
  'common.copyByHand': 'Bitte markieren und kopieren',
  'common.delete': 'Löschen',
  'common.loading': 'Wird geladen…',
  'common.more': 'Mehr',
  'common.save': 'Speichern',
  'common.saved': 'Gespeichert',
  'common.optional': '(optional)',
  'common.typeToConfirm': 'Zum Bestätigen „{word}“ eingeben',
  'common.undo': 'Rückgängig',
  'common.retry': 'Erneut versuchen',
  'common.offline': 'Deskbell erreicht seinen Server nicht.',
  'time.seconds': '{seconds} s',
  'time.minutesSeconds': '{minutes} min {seconds} s',
  'time.minutes': '{minutes} min',
  'time.hours': '{hours} Std.',
  'time.hoursMinutes': '{hours} Std. {minutes} min',
  'time.tookMinutes': '{minutes} min {seconds} s',
  'time.daysHours': '{days} T. {hours} Std.',
  'time.days': '{days, plural, one {# Tag} other {# Tage}}',
  'common.unknownPerson': 'Jemand',
  'connector.comments': 'Kommentare',
  'connector.webchat': 'Website-Chat',
  'connector.email': 'E-Mail',
  'connector.form': 'Formular',
  'devices.aBrowser': 'Browser',
  'you.sessions.on': '{browser} auf {system}',
} as const;
