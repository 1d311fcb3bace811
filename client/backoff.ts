const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * The time to wait before retry number `attempt` (counted from 0), ms: a random time between 0 and a limit that starts
 * at 500 ms and doubles up to 30 s.
 * The full random range keeps many browsers from reconnecting to a restarted gateway at the same moment.
 */
export function retryDelay(attempt: number, random: () => number = Math.random): number {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
}
