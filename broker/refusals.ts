import type { Log } from '../backbone/log/port.ts';
import { explain } from '../core/errors.ts';
import { withDeadline } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { encodeDead, type Publish } from '../telemetry/batch.ts';
import type { BrokerCounters } from './counters.ts';
import type { OnRefused } from './publishing.ts';
import type { RefusedReason } from './rights.ts';

/** A client that publishes to foreign topics without end must not push other dead letters out of their log. */
const MOST_A_MINUTE = 60;
/** Of all sensors together: a year of it is a quarter of what the log keeps, so that it pushes nothing else out. */
const MOST_BYTES_A_DAY = 3 * 1024 ** 2;
const DAY_MS = 86_400_000;
const OVERHEAD_BYTES = 200;
const MINUTE_MS = 60_000;
/** PUBACK waits for the dead letter no longer. */
const MOST_WAIT_MS = 2_000;
/** Most appends under way. */
const MOST_UNDER_WAY = 256;

const EXPLANATIONS: Readonly<Record<RefusedReason, string>> = {
  not_authorised: 'this client may not publish to this topic',
  too_many_sensors: 'the farm has too many sensors that nobody registered',
  too_large: 'the payload is larger than Loam takes; only its beginning is kept',
};

/**
 * Keeps refused publishes as dead letters, so that a wrong topic can be seen and put right: up to 60 a minute of one sensor.
 * What is over that, or comes while the log is away, is counted only: a refused publish was never promised to be kept.
 */
export class Refusals {
  private readonly dead: Log;
  private readonly counters: BrokerCounters;
  private readonly log: Logger;
  private thisMinute = new Map<string, number>();
  private bytesThisDay = 0;
  private minute = 0;
  private day = 0;
  private underWay = 0;

  constructor(dead: Log, counters: BrokerCounters, log: Logger) {
    this.dead = dead;
    this.counters = counters;
    this.log = log;
  }

  /** Resolves when the dead letter is kept, or counted as not kept. Never rejects. */
  readonly keep: OnRefused = async (publish, reason) => {
    if (this.overQuota(publish) || this.underWay >= MOST_UNDER_WAY) {
      this.counters.refusedUnkept += 1;
      return;
    }
    this.underWay += 1;
    try {
      await withDeadline(this.append(publish, reason), MOST_WAIT_MS, 'the dead-letter log does not answer');
    } catch (error) {
      this.counters.refusedUnkept += 1;
      this.log.debug({ event: 'dead_letter_lost', sensor: publish.sensor }, explain(error));
    }
  };

  private async append(publish: Publish, reason: RefusedReason): Promise<void> {
    try {
      await this.dead.append(encodeDead({ publish, reason, explanation: EXPLANATIONS[reason], at: Date.now() }));
    } finally {
      this.underWay -= 1;
    }
  }

  private overQuota({ sensor, payload }: Publish): boolean {
    const minute = Math.floor(performance.now() / MINUTE_MS);
    const day = Math.floor(performance.now() / DAY_MS);
    if (minute !== this.minute) this.thisMinute = new Map();
    if (day !== this.day) this.bytesThisDay = 0;
    this.minute = minute;
    this.day = day;
    const count = (this.thisMinute.get(sensor) ?? 0) + 1;
    this.thisMinute.set(sensor, count);
    if (count > MOST_A_MINUTE || this.bytesThisDay + payload.length > MOST_BYTES_A_DAY) return true;
    this.bytesThisDay += payload.length + OVERHEAD_BYTES;
    return false;
  }
}
