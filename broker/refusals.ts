import type { Log } from '../backbone/log/port.ts';
import { explain } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { encodeDead, type Publish } from '../telemetry/batch.ts';
import type { BrokerCounters } from './counters.ts';
import type { OnRefused } from './publishing.ts';
import type { RefusedReason } from './rights.ts';

/** A client that publishes to foreign topics without end must not push other dead letters out of their log. */
const MOST_A_MINUTE = 60;
const MINUTE_MS = 60_000;
/** Most appends under way. */
const MOST_UNDER_WAY = 256;

const EXPLANATIONS: Readonly<Record<RefusedReason, string>> = {
  not_authorised: 'this client may not publish to this topic',
  too_many_sensors: 'the farm has too many sensors that nobody registered',
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
  private minute = 0;
  private underWay = 0;

  constructor(dead: Log, counters: BrokerCounters, log: Logger) {
    this.dead = dead;
    this.counters = counters;
    this.log = log;
  }

  readonly keep: OnRefused = (publish, reason) => {
    if (this.overLimit(publish) || this.underWay >= MOST_UNDER_WAY) {
      this.counters.refusedUnkept += 1;
      return;
    }
    this.underWay += 1;
    void this.append(publish, reason);
  };

  private async append(publish: Publish, reason: RefusedReason): Promise<void> {
    try {
      await this.dead.append(encodeDead({ publish, reason, explanation: EXPLANATIONS[reason], at: Date.now() }));
    } catch (error) {
      this.counters.refusedUnkept += 1;
      this.log.debug({ event: 'dead_letter_lost', sensor: publish.sensor }, explain(error));
    }
    this.underWay -= 1;
  }

  private overLimit({ sensor }: Publish): boolean {
    const minute = Math.floor(performance.now() / MINUTE_MS);
    if (minute !== this.minute) this.thisMinute = new Map();
    this.minute = minute;
    const count = (this.thisMinute.get(sensor) ?? 0) + 1;
    this.thisMinute.set(sensor, count);
    return count > MOST_A_MINUTE;
  }
}
