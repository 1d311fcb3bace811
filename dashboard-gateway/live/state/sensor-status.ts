import type { ClockPolicy } from '../../../telemetry/clock.ts';
import type { Reading } from '../../../telemetry/reading.ts';
import type { StateSince } from '../../sensors/sensor-state.ts';
import type { ClockFinding } from './clock-finding.ts';
import { isOfReceipt } from './clock-samples.ts';

type ReadingTimes = Pick<Reading, 'ts' | 'received' | 'deviceTs' | 'backfill'>;

/** A smaller clock error is not shown: a reading takes that long on its way. */
const SKEW_NOTICED_MS = 5_000;
/** A reading measured longer ago than this was kept back by the sensor, and tells nothing of its clock. */
const KEPT_BACK_MS = 3_600_000;
/** Metrics about the sensor itself. Of each list, the first metric that the sensor reports is used. */
const BATTERY = ['battery', 'battery_level', 'battery_percent', 'battery_voltage', 'battery_v'];
const SIGNAL = ['rssi', 'signal', 'signal_strength'];
const SIGNAL_STEP = 5;

/** What is known of a clock, as people see it: `byMs` in whole seconds. */
export type ShownClock = Pick<ClockFinding, 'is'> & { readonly byMs?: number; readonly propose?: ClockPolicy };

/** The status of a sensor. What is not known is absent. */
export interface SensorStatus extends StateSince {
  /** How far its clock is ahead (above 0) or behind, ms, to two digits; 0 below five seconds. */
  readonly skewMs: number;
  /** What is known of its clock. */
  readonly clockFinding?: ShownClock;
  /** How many of its messages were refused lately. */
  readonly refused: number;
  /** As it reports it, a whole number. */
  readonly battery?: number;
  /** As it reports it (dBm for a radio), in steps of 5. */
  readonly signal?: number;
}

/** A sensor as snapshots and the list of sensors have it. */
export interface SensorNow extends SensorStatus {
  /** When its last reading was received, Unix ms; null when none ever was. */
  readonly lastSeen: number | null;
}

/** The sensors of one farm, as they are now. */
export interface FarmNow {
  /** Every sensor that is registered or reports. */
  sensorIds(): ReadonlySet<string>;
  /** How a sensor is at `now`, Unix ms. */
  sensorNow(sensor: string, now: number): SensorNow;
}

/**
 * The error of a sensor's clock by one reading, ms; undefined when the reading tells nothing of it. A time in the
 * future comes from a wrong clock. A time in the past may come from one, unless the reading was kept back. A time that
 * was replaced because it could not be right (`deviceTs`) always comes from a wrong clock; of one that the registry
 * corrects it is the error that is left.
 */
export function clockSkew({ ts, received, deviceTs, backfill }: ReadingTimes): number | undefined {
  if (deviceTs !== undefined && isOfReceipt({ ts, received })) return deviceTs - received;
  return backfill || received - ts > KEPT_BACK_MS ? undefined : ts - received;
}

/** The status of a sensor, from its state, its newest values and the number of its refused messages. */
export function statusOf(
  { state, since }: StateSince,
  latest: { readonly skewMs: number; readonly values: ReadonlyMap<string, { readonly value: number }> } | undefined,
  refused: number,
  clock?: ClockFinding,
): SensorStatus {
  const battery = firstOf(BATTERY, latest?.values, 1);
  const signal = firstOf(SIGNAL, latest?.values, SIGNAL_STEP);
  return {
    state,
    since,
    skewMs: shownSkew(skewOf(clock) ?? latest?.skewMs ?? 0),
    ...(clock === undefined ? {} : { clockFinding: shownClock(clock) }),
    refused,
    ...(battery === undefined ? {} : { battery }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** Statuses with equal keys look the same to a viewer: `since` alone is no change. */
export function statusKey(status: SensorStatus): string {
  return `${urgentKey(status)} ${status.skewMs} ${status.battery} ${status.signal} ${clockKey(status)}`;
}

/** A change of less than a minute is none. */
function clockKey({ clockFinding }: SensorStatus): string {
  if (clockFinding === undefined) return '';
  const { is, byMs = 0, propose } = clockFinding;
  return `${is} ${Math.round(byMs / 60_000)} ${typeof propose}`;
}

function shownClock(clock: ClockFinding): ShownClock {
  if (clock.is === 'right') return { is: clock.is };
  return { ...clock, byMs: Math.round(clock.byMs / 1000) * 1000 };
}

/** The part of a status that is told at once. The rest may change with every reading and is told less often. */
export function urgentKey({ state, refused }: SensorStatus): string {
  return `${state} ${refused}`;
}

function skewOf(clock: ClockFinding | undefined): number | undefined {
  if (clock === undefined) return undefined;
  if (clock.is === 'right') return clock.aheadMs;
  return clock.is === 'behind' || clock.is === 'jumps-back' ? -clock.byMs : clock.byMs;
}

function shownSkew(ms: number): number {
  if (Math.abs(ms) < SKEW_NOTICED_MS) return 0;
  return Number(ms.toPrecision(2));
}

function firstOf(
  names: readonly string[],
  values: ReadonlyMap<string, { readonly value: number }> | undefined,
  step: number,
): number | undefined {
  for (const name of names) {
    const value = values?.get(name)?.value;
    if (value !== undefined) return Math.round(value / step) * step;
  }
  return undefined;
}
