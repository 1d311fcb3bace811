import { batch, computed, signal } from '@preact/signals';
import { gatewayNow } from '../api/gateway-clock.ts';

/** The reader's language, for numbers and times. */
export const locale = navigator.languages[0];

/** The beat, ms: the page of a large farm redraws at every beat, some parts each time. Nobody reads faster. */
const BEAT_MS = 250;
export const BEATS_A_SECOND = 1000 / BEAT_MS;
export const beat = signal(0);
/** Now (Unix ms, the gateway's clock), every second; `slowNow` every ten. Both rest while the page is hidden. */
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
  setInterval(tick, BEAT_MS);
}

function tick(): void {
  if (document.visibilityState !== 'visible') return;
  batch(() => {
    beat.value++;
    const at = gatewayNow();
    if (Math.abs(at - now.peek()) >= 1000 - BEAT_MS / 2) now.value = at;
    if (Math.abs(at - slowNow.peek()) >= 10_000) slowNow.value = at;
  });
}
