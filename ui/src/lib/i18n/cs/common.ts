/*
 * Glossary. The person at the desk is addressed formally (vykání); what people did is said without their gender.
 *   conversation konverzace · message zpráva · reply odpověď · note poznámka · canned reply připravená odpověď
 *   channel kanál · label štítek · team tým · view pohled · inbox doručené · stream přehled zpráv · mention zmínka
 *   assign přiřadit · take převzít · snooze odložit · resolve vyřešit · reopen znovu otevřít · pending čeká se
 *   unanswered bez odpovědi · bell zvonek · notification upozornění · quiet hours tichý režim
 *   sign in přihlásit se · second factor druhý faktor · recovery code záložní kód · token token · audit záznam změn
 *   administrator správce · agent operátor · viewer pozorovatel · customer zákazník · shop obchod
 *   desk Deskbell · daemon server · connector konektor · reply window čas na odpověď
 */
export const common = {
  'common.cancel': 'Zrušit',
  'common.close': 'Zavřít',
  'common.copied': 'Zkopírováno',
  'common.copy': 'Kopírovat',
  'common.copyByHand': 'Označte to a zkopírujte',
  'common.delete': 'Smazat',
  'common.loading': 'Načítá se…',
  'common.more': 'Více',
  'common.save': 'Uložit',
  'common.saved': 'Uloženo',
  'common.optional': '(nepovinné)',
  'common.typeToConfirm': 'Pro potvrzení napište „{word}“',
  'common.undo': 'Vrátit zpět',
  'common.retry': 'Zkusit znovu',
  'common.offline': 'Deskbell se nemůže spojit se serverem.',
  'time.seconds': '{seconds} s',
  'time.minutesSeconds': '{minutes} min {seconds} s',
  'time.minutes': '{minutes} min',
  'time.hours': '{hours} h',
  'time.hoursMinutes': '{hours} h {minutes} min',
  'time.tookMinutes': '{minutes} min {seconds} s',
  'time.daysHours': '{days} d {hours} h',
  'time.days': '{days, plural, one {# den} few {# dny} many {# dne} other {# dní}}',
  'common.unknownPerson': 'Někdo',
  'connector.comments': 'Komentáře',
  'connector.webchat': 'Chat na webu',
  'connector.email': 'E-mail',
  'connector.form': 'Formulář',
  'devices.aBrowser': 'Prohlížeč',
  'you.sessions.on': '{browser}, {system}',
} as const;
