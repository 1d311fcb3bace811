import { signal } from '@preact/signals';
import { gatewayNow } from '../api/http.ts';

/** The reader's language, for numbers and times. */
export const locale = navigator.languages[0];

/** Now (Unix ms, the gateway's clock): every second, and every ten for what need not be exact. Both rest while the page is hidden. */
export const now = signal(gatewayNow());
export const slowNow = signal(now.peek());

/** Whether there is room for a chart beside the list. */
const wideQuery = window.matchMedia('(min-width: 62rem)');
export const wide = signal(wideQuery.matches);
const darkQuery = window.matchMedia('(prefers-color-scheme: dark)');
export const dark = signal(darkQuery.matches);

export function startDevice(): void {
  wideQuery.addEventListener('change', () => {
    wide.value = wideQuery.matches;
  });
  darkQuery.addEventListener('change', () => {
    dark.value = darkQuery.matches;
  });
  document.addEventListener('visibilitychange', tick);
  setInterval(tick, 1000);
}

function tick(): void {
  if (document.visibilityState !== 'visible') return;
  now.value = gatewayNow();
  if (Math.abs(now.value - slowNow.value) >= 10_000) slowNow.value = now.value;
}
