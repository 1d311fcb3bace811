import { computed, signal } from '@preact/signals';
import { gatewayNow } from '../api/http.ts';

/** The reader's language, for numbers and times. */
export const locale = navigator.languages[0];

/** Now (Unix ms, the gateway's clock): every second, and every ten for what need not be exact. Both rest while the page is hidden. */
export const now = signal(gatewayNow());
export const slowNow = signal(now.peek());
/** Counts minutes, for what is fetched again now and then. */
export const minute = computed(() => Math.floor(slowNow.value / 60_000));

/** Whether the device prefers dark pages. */
const darkQuery = window.matchMedia('(prefers-color-scheme: dark)');
export const dark = signal(darkQuery.matches);

export function startDevice(): void {
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
