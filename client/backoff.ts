const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * How long to wait (ms) before try number `attempt`, counted from 0: anything from nothing to a limit that doubles up to half a minute.
 * The full spread keeps many browsers from coming back to a restarted gateway in the same instant.
 */
export function retryDelay(attempt: number, random: () => number = Math.random): number {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
}
