/** The fields that the app and the Page's row at Meta have to have on; `register` switches the same ones on. */
export const FIELDS = [
  'messages', 'messaging_postbacks', 'message_deliveries', 'message_reads', 'message_echoes', 'message_reactions', 'message_edits',
  'messaging_referrals', 'messaging_optins', 'messaging_optouts', 'messaging_account_linking', 'messaging_handovers', 'standby',
  'messaging_policy_enforcement',
] as const;

/** A text that nobody guesses, of letters, digits, `-` and `_`: 192 bits. */
export function randomToken(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_');
}
