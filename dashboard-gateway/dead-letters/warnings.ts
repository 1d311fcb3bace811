import type { LogLimits } from '../../backbone/log/port.ts';

/** From this share of the log's room on, trimming is near. */
const NEARLY_FULL = 0.75;
/** How long before its time an old letter is warned of. */
const NEARLY_OLD_MS = 30 * 86_400_000;

/** What there is to say, well before anything is trimmed; null when there is nothing. `now` is Unix ms. */
export function trimmingWarning(
  { bytes, oldest }: { readonly bytes: number; readonly oldest: number | undefined },
  { maxBytes, maxAgeMs }: LogLimits,
  now: number,
): string | null {
  if (bytes >= maxBytes * NEARLY_FULL) {
    const share = Math.floor((bytes / maxBytes) * 100);
    return `The dead-letter log is ${share} % full: when it is full, the oldest letters are removed for good. Replay or save what you need.`;
  }
  const notice = Math.min(NEARLY_OLD_MS, maxAgeMs / 4);
  if (oldest !== undefined && now - oldest >= maxAgeMs - notice) {
    const days = Math.max(0, Math.floor((oldest + maxAgeMs - now) / 86_400_000));
    return `The oldest dead letters are removed for good in ${days} days. Replay or save what you need.`;
  }
  return null;
}
