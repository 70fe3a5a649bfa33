/*
 * Glossary. The person at the desk is addressed formally (vykanie); what people did is said without their gender.
 *   conversation konverzácia · message správa · reply odpoveď · note poznámka · canned reply pripravená odpoveď
 *   channel kanál · label štítok · team tím · view pohľad · inbox doručené · stream prehľad správ · mention zmienka
 *   assign priradiť · take prevziať · snooze odložiť · resolve vyriešiť · reopen znova otvoriť · pending čaká sa
 *   unanswered bez odpovede · bell zvonček · notification upozornenie · quiet hours tichý režim
 *   sign in prihlásiť sa · second factor druhý faktor · recovery code záložný kód · token token · audit záznam zmien
 *   administrator správca · agent operátor · viewer pozorovateľ · customer zákazník · shop obchod
 *   desk Deskbell · daemon server · connector konektor · reply window čas na odpoveď
 */
export const common = {
  'common.cancel': 'Zrušiť',
  'common.close': 'Zavrieť',
  'common.copied': 'Skopírované',
  'common.copy': 'Kopírovať',
  'common.copyByHand': 'Označte to a skopírujte',
  'common.delete': 'Vymazať',
  'common.loading': 'Načítava sa…',
  'common.more': 'Viac',
  'common.save': 'Uložiť',
  'common.saved': 'Uložené',
  'common.optional': '(nepovinné)',
  'common.typeToConfirm': 'Na potvrdenie napíšte „{word}“',
  'common.undo': 'Vrátiť späť',
  'common.retry': 'Skúsiť znova',
  'common.offline': 'Deskbell sa nevie spojiť so serverom.',
  'time.seconds': '{seconds} s',
  'time.minutesSeconds': '{minutes} min {seconds} s',
  'time.minutes': '{minutes} min',
  'time.hours': '{hours} h',
  'time.hoursMinutes': '{hours} h {minutes} min',
  'time.tookMinutes': '{minutes} min {seconds} s',
  'time.daysHours': '{days} d {hours} h',
  'time.days': '{days, plural, one {# deň} few {# dni} many {# dňa} other {# dní}}',
  'common.unknownPerson': 'Niekto',
  'connector.comments': 'Komentáre',
  'connector.webchat': 'Chat na webe',
  'connector.email': 'E-mail',
  'connector.form': 'Formulár',
  'devices.aBrowser': 'Prehliadač',
  'you.sessions.on': '{browser}, {system}',
} as const;
