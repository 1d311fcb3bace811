import { DeadLetters } from '../../backbone/dead-letters/dead-letters.ts';
import type { DeadQuota } from '../../backbone/dead-letters/quota.ts';
import type { Log } from '../../backbone/ports/log.ts';
import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { withDeadline } from '../../core/timing.ts';
import type { DeadLetter, Publish } from '../../telemetry/batch.ts';
import { letterBytes } from '../../telemetry/farm-quotas.ts';
import { cut } from '../../telemetry/noted.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import type { BrokerCounters } from '../counters.ts';
import type { OnRefused } from '../ingest/publishing.ts';
import type { Identity } from './identity.ts';
import { MinuteCount } from './minute-count.ts';
import { rightTopic } from './right-topic.ts';
import type { RefusedReason } from './rights.ts';

/** Of one sensor: a client that keeps publishing to wrong topics must not push other dead letters out of the log. */
const MOST_A_MINUTE = 60;
/** The quota of one sensor. It is smaller than that of all sensors, so that there is room for the others. */
const SENSORS: DeadQuota = { bytes: 1024 ** 2, bytesADay: 1024 ** 2 };
/** The quota of all sensors together: a year of it is a quarter of what the log keeps, so it pushes nothing else out. */
const EVERYBODYS: DeadQuota = { bytes: 3 * 1024 ** 2, bytesADay: 3 * 1024 ** 2 };
/** A PUBACK waits at most this long for its dead letter. */
const MOST_WAIT_MS = 2_000;
/** Most appends under way. Above it a refused publish is only counted. */
const MOST_UNDER_WAY = 256;

/** So much of a topic is in the explanation: the letter has all of it. */
const SHOWN_TOPIC = 200;
const TOO_MANY_SENSORS = 'the farm has too many sensors that nobody registered';

/**
 * Keeps refused publishes as dead letters, so that people can see and correct a wrong topic: up to 60 a minute of one
 * sensor, within quotas of their own. Dead letters that Loam promised to keep have other quotas. Refused publishes
 * above these limits, or while the log is away, are only counted.
 */
export class RefusedPublishes {
  private readonly letters: DeadLetters;
  private readonly counters: BrokerCounters;
  private readonly log: Logger;
  private readonly counts = new MinuteCount();
  private underWay = 0;

  constructor(dead: Log, registry: RegistryView, counters: BrokerCounters, log: Logger, metrics?: Metrics) {
    this.letters = new DeadLetters(dead, {
      logger: log,
      metrics,
      kind: 'broker',
      quota: SENSORS,
      allQuota: EVERYBODYS,
      farmQuota: (farm) => letterBytes(registry.current().farms.get(farm)?.quotas),
    });
    this.counters = counters;
    this.log = log;
  }

  /** Begins to count what other brokers keep against the same quotas. Does not wait until the log is read. */
  start(): void {
    void this.letters.start();
  }

  stop(): Promise<void> {
    return this.letters.stop();
  }

  /** Resolves when the dead letter is kept, or is counted as not kept, after 2 s at most. Never rejects. */
  readonly keep: OnRefused = async (publish, reason, client, sent) => {
    const explanation = explanationOf(publish, reason, client, sent);
    const letter: DeadLetter = { publish, reason, explanation, at: clock.now() };
    if (this.counts.add(publish) > MOST_A_MINUTE || this.underWay >= MOST_UNDER_WAY) {
      this.letters.leaveOut(letter);
      this.counters.refusedUnkept += 1;
      return;
    }
    this.underWay += 1;
    const kept = this.letters.keep(letter).finally(() => {
      this.underWay -= 1;
    });
    try {
      const isKept = await withDeadline(kept, MOST_WAIT_MS, 'the dead-letter log does not answer');
      if (!isKept) this.counters.refusedUnkept += 1;
    } catch (error) {
      this.counters.refusedUnkept += 1;
      this.log.debug({ event: 'dead_letter_lost', sensor: publish.sensor }, explain(error));
    }
  };
}

function explanationOf(publish: Publish, reason: RefusedReason, client: Identity, sent?: number): string {
  if (reason === 'not_authorised') return whereTo(publish.topic, client);
  return reason === 'too_many_sensors' ? TOO_MANY_SENSORS : beginningOnly(sent ?? 0, publish.payload.length);
}

function beginningOnly(sent: number, kept: number): string {
  return `the payload had ${sent} bytes, more than LOAM_PAYLOAD_KB allows: it was acknowledged, and only its first ${kept} bytes were kept`;
}

function whereTo(topic: string, client: Identity): string {
  return `this client may not publish to ${JSON.stringify(cut(topic, SHOWN_TOPIC))}; it may to ${rightTopic(client)}`;
}
