import { mount } from 'svelte';

import App from './App.svelte';
import './app.css';
import { ApiProblem } from './lib/api/client';
import { language } from './lib/i18n/index.svelte';

// Signed out or away: who asked in passing need not know, since the session and the line tell it.
addEventListener('unhandledrejection', (event) => {
  if (event.reason instanceof ApiProblem && (event.reason.status === 401 || event.reason.code === 'offline')) event.preventDefault();
});

const target = document.getElementById('app');
// Nobody sees the words change: the page begins in the reader's language.
if (target) void language.begin().then(() => mount(App, { target }));
