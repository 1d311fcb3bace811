import { LRUCache } from 'lru-cache';
import { type Rate, rateOf } from '../../telemetry/rate.ts';
import type { RegistryView } from '../../telemetry/registry.ts';
import type { Identity } from '../auth/identity.ts';
import type { BrokerCounters } from '../counters.ts';

/**
 * A token bucket: publishes and bytes that may be taken now, refilled at a rate. A publish may take more bytes than there are, once,
 * so that one larger than the bucket goes through; the next then waits longer.
 */
export class Bucket {
  private rate: Rate;
  private messages: number;
  private bytes: number;
  private filledAt: number;

  /** Times are monotonic ms. */
  constructor(rate: Rate, now: number) {
    this.rate = rate;
    this.messages = rate.messages * rate.burst;
    this.bytes = rate.bytes * rate.burst;
    this.filledAt = now;
  }

  /** How many ms until the next publish may be taken; 0: now. */
  waitMs(now: number): number {
    this.fill(now);
    const { messages, bytes } = this.rate;
    const seconds = Math.max((1 - this.messages) / messages, (1 - this.bytes) / bytes);
    return seconds <= 0 ? 0 : Math.ceil(seconds * 1_000);
  }

  take(bytes: number): void {
    this.messages -= 1;
    this.bytes -= bytes;
  }

  /** Another rate holds from now on. */
  change(rate: Rate): void {
    this.rate = rate;
  }

  private fill(now: number): void {
    const { messages, bytes, burst } = this.rate;
    const seconds = (now - this.filledAt) / 1_000;
    this.filledAt = now;
    this.messages = Math.min(messages * burst, this.messages + seconds * messages);
    this.bytes = Math.min(bytes * burst, this.bytes + seconds * bytes);
  }
}

/** One connection's use of its sensor's bucket. */
export class Pace {
  private readonly bucket: Bucket;
  private readonly goOn: () => void;
  private readonly counters: BrokerCounters;
  private timer: NodeJS.Timeout | undefined;

  /** `goOn` is called when there is room again for who was slowed. */
  constructor(bucket: Bucket, goOn: () => void, counters: BrokerCounters) {
    this.bucket = bucket;
    this.goOn = goOn;
    this.counters = counters;
  }

  /** Whether the sensor has published as much as its rate lets it. */
  isSlowed(): boolean {
    if (this.timer) return true;
    const waitMs = this.bucket.waitMs(performance.now());
    if (waitMs === 0) return false;
    this.counters.slowed += 1;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.goOn();
    }, waitMs);
    return true;
  }

  take(bytes: number): void {
    this.bucket.take(bytes);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

/** Buckets of sensors that have gone are kept too: coming back does not fill one. The latest this many. */
const MOST_BUCKETS = 50_000;

interface Owned {
  readonly sensor: string;
  readonly bucket: Bucket;
}

/** One bucket for each sensor and bridge, whatever number of connections it has. */
export class Buckets {
  private readonly registry: RegistryView;
  private readonly buckets = new LRUCache<string, Owned>({ max: MOST_BUCKETS });

  constructor(registry: RegistryView) {
    this.registry = registry;
  }

  of({ farm, sensor }: Identity): Bucket {
    const key = `${farm}/${sensor}`;
    const known = this.buckets.get(key);
    if (known) return known.bucket;
    const bucket = new Bucket(this.rateOf(sensor), performance.now());
    this.buckets.set(key, { sensor, bucket });
    return bucket;
  }

  /** The rates in it may be others now. */
  registryChanged(): void {
    for (const { sensor, bucket } of this.buckets.values()) bucket.change(this.rateOf(sensor));
  }

  private rateOf(id: string): Rate {
    const { sensors, rates } = this.registry.current();
    return rateOf(sensors.get(id) ?? { role: 'sensor' }, rates);
  }
}
