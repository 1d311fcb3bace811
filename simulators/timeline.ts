import { clock } from '../core/clock.ts';

/** Timers that wait longer than this fire at once. */
const LONGEST_MS = 2_147_483_647;

/**
 * Calls `act` with each event of `events` when its time has come: `at` ms after `begun` (`clock.passed()`). Resolves
 * when there are no more events or `signal` aborts. Events are in order of time. Events that a stalled process missed
 * are acted on late, not left out.
 */
export function play<T extends { readonly at: number }>(
  events: Iterator<T>,
  begun: number,
  signal: AbortSignal,
  act: (event: T) => void,
): Promise<void> {
  return new Promise((resolve) => {
    let next = events.next();
    let timer: NodeJS.Timeout | undefined;
    const step = () => {
      while (!next.done && !signal.aborted) {
        const wait = begun + next.value.at - clock.passed();
        if (wait > 0) {
          timer = setTimeout(step, Math.min(LONGEST_MS, wait));
          return;
        }
        act(next.value);
        next = events.next();
      }
      signal.removeEventListener('abort', stop);
      resolve();
    };
    const stop = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener('abort', stop, { once: true });
    step();
  });
}
