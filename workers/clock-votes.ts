import { type Clock, clock as machineClock } from '../core/clock.ts';
import type { Health, Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import type { DeadLetter } from '../telemetry/batch.ts';
import { MAX_AHEAD_MS } from '../telemetry/clock.ts';
import type { Reading } from '../telemetry/reading.ts';

/** Fewer farms say nothing of this machine's clock: it is theirs that may be wrong. */
const LEAST_FARMS = 3;
/** This part of the farms has to agree, and so one farm never decides. */
const MAJORITY = 2 / 3;
/** What farms said in this window, and in the one before it, counts, ms. */
const WINDOW_MS = 300_000;
const LOOK_MS = 60_000;
/** Readings of one message that are looked at. Which ones changes with every message. */
const MOST_LOOKED_AT = 16;
/** Farms that are listened to in one window. */
const MOST_FARMS = 10_000;

export interface ClockVotesOptions {
  readonly log: Logger;
  readonly metrics?: Metrics | undefined;
  readonly clock?: Clock;
}

/**
 * Compares this installation's clock with those of sensors. Of each farm counts the reading whose own time is nearest to its receipt: late readings, and
 * single sensors whose clocks are wrong, say nothing while another sensor of the farm is right. When at least three farms, and two of
 * three, are more than five minutes beside the receipts on the same side, it is told that the machine's clock may be wrong. Nothing else follows from it.
 */
export class ClockVotes implements Part {
  readonly name = 'clock votes';
  private readonly clock: Clock;
  private readonly log: Logger;
  private nearest = new Map<string, number>();
  private before = new Map<string, number>();
  private since: number;
  private turn = 0;
  private why: string | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor({ log, metrics, clock = machineClock }: ClockVotesOptions) {
    this.clock = clock;
    this.log = log;
    this.since = clock.passed();
    metrics?.gauge(
      'loam_clock_against_sensors',
      '1 while the sensors of most farms say that the clock of this installation is wrong',
      () => (this.why === undefined ? 0 : 1),
    );
  }

  async start(): Promise<void> {
    this.timer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
  }

  /** What became of a message. */
  heard(readings: readonly Reading[], dead: readonly DeadLetter[]): void {
    this.turn += 1;
    const step = Math.max(1, Math.floor(readings.length / MOST_LOOKED_AT));
    for (let i = this.turn % step; i < readings.length; i += step) {
      const reading = readings[i];
      // A time that was the receipt, or was made of it, says nothing.
      if (!reading || reading.deviceTs !== undefined || !Number.isInteger(reading.ts)) continue;
      if (reading.ts !== reading.received) this.vote(reading.farm, reading.ts - reading.received);
    }
    for (const { publish, reason } of dead) {
      if (reason === 'future_time') this.vote(publish.farm, Number.POSITIVE_INFINITY);
    }
  }

  /** Counts. It is called every minute. */
  look(): void {
    const farms = new Map(this.before);
    for (const [farm, ms] of this.nearest) keepNearest(farms, farm, ms);
    if (this.clock.passed() - this.since >= WINDOW_MS) {
      this.before = this.nearest;
      this.nearest = new Map();
      this.since = this.clock.passed();
    }
    const found = verdictOf([...farms.values()]);
    if (found !== undefined && this.why === undefined) {
      this.log.warn({ event: 'clock_against_sensors' }, found);
    }
    if (found === undefined && this.why !== undefined) {
      this.log.info({ event: 'clock_with_sensors' }, 'the clock and those of sensors agree again');
    }
    this.why = found;
  }

  health(): Health {
    const name = 'clock by sensors';
    const { why } = this;
    return why === undefined ? { name, ok: true, optional: true } : { name, ok: false, optional: true, why };
  }

  private vote(farm: string, ms: number): void {
    if (this.nearest.size < MOST_FARMS || this.nearest.has(farm)) keepNearest(this.nearest, farm, ms);
  }
}

function keepNearest(farms: Map<string, number>, farm: string, ms: number): void {
  const known = farms.get(farm);
  if (known === undefined || Math.abs(ms) < Math.abs(known)) farms.set(farm, ms);
}

/** What the farms say against the clock, by how far each is ahead of it, ms; undefined when they say nothing. */
function verdictOf(farms: readonly number[]): string | undefined {
  if (farms.length < LEAST_FARMS) return undefined;
  for (const [sign, is] of [
    [1, 'behind'],
    [-1, 'ahead'],
  ] as const) {
    const against = farms.filter((ms) => ms * sign > MAX_AHEAD_MS);
    if (against.length < LEAST_FARMS || against.length < farms.length * MAJORITY) continue;
    const sizes = against.map(Math.abs).filter(Number.isFinite);
    const least = sizes.length > 0 ? Math.min(...sizes) : MAX_AHEAD_MS;
    const minutes = Math.round(least / 60_000);
    return `the sensors of ${against.length} of ${farms.length} farms say that this clock is ${is}, by ${minutes} min or more`;
  }
  return undefined;
}
