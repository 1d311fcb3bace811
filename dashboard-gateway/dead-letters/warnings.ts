import type { LogLimits } from '../../backbone/ports/log.ts';

/** Trimming is near when this share of the log's bytes is used. */
const NEARLY_FULL = 0.75;
/** The log may trim its oldest letter later than `maxAgeMs`, by at most this part of it. */
const TRIMMED_AFTER = 1 / 32;
/** How long before its trimming the warning of an old letter begins, at most. */
const NEARLY_OLD_MS = 30 * 86_400_000;

/**
 * Whether trimming is delayed: by the clock the oldest letter should be gone, but the log keeps it, because the log was
 * not open for that long. This happens when the clock is wrong, and when Loam did not run all the time.
 */
export function isPutOff(oldest: number | undefined, { maxAgeMs }: LogLimits, now: number): boolean {
  return oldest !== undefined && now - oldest > maxAgeMs * (1 + TRIMMED_AFTER);
}

/** The warning to show well before anything is trimmed; null when there is none. `now` is Unix ms. */
export function trimmingWarning(
  { bytes, oldest }: { readonly bytes: number; readonly oldest: number | undefined },
  { maxBytes, maxAgeMs }: LogLimits,
  now: number,
): string | null {
  if (bytes >= maxBytes * NEARLY_FULL) {
    const share = Math.floor((bytes / maxBytes) * 100);
    return `The dead-letter log is ${share} % full: when it is full, the oldest letters are removed for good. Replay or save what you need.`;
  }
  if (oldest !== undefined && isPutOff(oldest, { maxBytes, maxAgeMs }, now)) {
    const days = Math.floor((now - oldest - maxAgeMs) / 86_400_000);
    return `By this machine’s clock the oldest dead letters are ${days} days past their time; they are still kept. Is the clock right?`;
  }
  const notice = Math.min(NEARLY_OLD_MS, maxAgeMs / 4);
  if (oldest !== undefined && now - oldest >= maxAgeMs - notice) {
    const days = Math.max(0, Math.floor((oldest + maxAgeMs - now) / 86_400_000));
    return `The oldest dead letters are removed for good in ${days} days. Replay or save what you need.`;
  }
  return null;
}

/** Most sensors that a warning names; further ones are only counted. */
const MOST_NAMED = 3;

/** The warning about sensors that have used most of their quota (`used`: 0 to 1); null when there are none. */
export function quotaWarning(sensors: readonly { readonly sensor: string; readonly used: number }[]): string | null {
  if (sensors.length === 0) return null;
  const worst = [...sensors].sort((a, b) => b.used - a.used).slice(0, MOST_NAMED);
  const named = worst.map(({ sensor, used }) => `${sensor || 'unreadable messages'} ${Math.floor(used * 100)} %`);
  const more = sensors.length > MOST_NAMED ? ` and ${sensors.length - MOST_NAMED} more` : '';
  return `Room for dead letters is nearly used up (${named.join(', ')}${more}): at 100 % further messages that cannot be read are counted, not kept. Find out what these sensors send.`;
}
