import { mount } from 'svelte';

import App from './App.svelte';
import './app.css';
import { ApiProblem } from './lib/api/client';

// Signed out or away: who asked in passing need not know, since the session and the line tell it.
addEventListener('unhandledrejection', (event) => {
  if (event.reason instanceof ApiProblem && (event.reason.status === 401 || event.reason.code === 'offline')) event.preventDefault();
});

const target = document.getElementById('app');
if (target) mount(App, { target });
