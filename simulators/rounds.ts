import { clock } from '../core/clock.ts';

const LEAST_TICK_MS = 5;

/**
 * Calls `act` with 0 to `members - 1` again and again, spread evenly: each number has its turn once every `intervalMs`,
 * as independent sensors would report. If the process stalls, at most one round is made up for; the rest is left out.
 * Returns the function that ends it.
 */
export function inRounds(members: number, intervalMs: number, act: (member: number) => void): () => void {
  if (members === 0) return () => {};
  const stepMs = intervalMs / members;
  let turn = 0;
  let next = clock.passed() + stepMs;
  const timer = setInterval(
    () => {
      const now = clock.passed();
      next = Math.max(next, now - intervalMs);
      for (; next <= now; next += stepMs) {
        act(turn % members);
        turn += 1;
      }
    },
    Math.max(LEAST_TICK_MS, Math.min(stepMs, 100)),
  );
  return () => clearInterval(timer);
}
