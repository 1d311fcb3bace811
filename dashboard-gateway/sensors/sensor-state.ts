import type { SensorState } from '../../client/messages.ts';

/** The state of a sensor, by the time at which its last reading was received. */
export interface StateSince {
  readonly state: SensorState;
  /** When the state began, Unix ms; 0 for a sensor that never reported. */
  readonly since: number;
}

/** The interval that is assumed for an unregistered sensor, in seconds. */
export const DEFAULT_INTERVAL_S = 600;

const LATE_AFTER = 2;
const OFFLINE_AFTER = 5;

/**
 * The state of a sensor that is expected every `intervalMs` and was last received at `lastSeen` (undefined: never).
 * `online` below 2 intervals ago, `late` below 5, `offline` from then on.
 */
export function stateSince(lastSeen: number | undefined, intervalMs: number, now: number): StateSince {
  if (lastSeen === undefined) return { state: 'never', since: 0 };
  const lateAt = lastSeen + LATE_AFTER * intervalMs;
  const offlineAt = lastSeen + OFFLINE_AFTER * intervalMs;
  if (now < lateAt) return { state: 'online', since: lastSeen };
  if (now < offlineAt) return { state: 'late', since: lateAt };
  return { state: 'offline', since: offlineAt };
}
