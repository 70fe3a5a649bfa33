export const devices = {
  'settings.devices': 'Your devices',
} as const;
