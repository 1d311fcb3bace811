import { LRUCache } from 'lru-cache';
import { TokenBucket, type TokenRate } from '../../core/token-bucket.ts';
import { type Rate, rateOf } from '../../telemetry/rate.ts';
import type { RegistryView } from '../../telemetry/registry.ts';
import type { Identity } from '../auth/identity.ts';
import type { BrokerCounters } from '../counters.ts';

/** How much a sensor may publish now: messages and bytes, whichever lets less through. Times are monotonic ms. */
export class PublishBucket {
  private readonly messages: TokenBucket;
  private readonly bytes: TokenBucket;

  constructor(rate: Rate, now: number) {
    this.messages = new TokenBucket(messagesOf(rate), now);
    this.bytes = new TokenBucket(bytesOf(rate), now);
  }

  /** How many ms until the next publish may be taken; 0: now. */
  waitMs(now: number): number {
    return Math.max(this.messages.waitMs(now), this.bytes.waitMs(now));
  }

  take(bytes: number): void {
    this.messages.take(1);
    this.bytes.take(bytes);
  }

  /** Another rate holds from now on. */
  change(rate: Rate): void {
    this.messages.change(messagesOf(rate));
    this.bytes.change(bytesOf(rate));
  }
}

const messagesOf = ({ messages, burst }: Rate): TokenRate => ({ perSecond: messages, burst: messages * burst });
const bytesOf = ({ bytes, burst }: Rate): TokenRate => ({ perSecond: bytes, burst: bytes * burst });

/** One connection's use of its sensor's bucket. */
export class ReadPace {
  private readonly bucket: PublishBucket;
  private readonly goOn: () => void;
  private readonly counters: BrokerCounters;
  private timer: NodeJS.Timeout | undefined;

  /** `goOn` is called when there is room again for who was slowed. */
  constructor(bucket: PublishBucket, goOn: () => void, counters: BrokerCounters) {
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
  readonly bucket: PublishBucket;
}

/** One bucket for each sensor and bridge, whatever number of connections it has. */
export class PublishBuckets {
  private readonly registry: RegistryView;
  private readonly buckets = new LRUCache<string, Owned>({ max: MOST_BUCKETS });

  constructor(registry: RegistryView) {
    this.registry = registry;
  }

  of({ farm, sensor }: Identity): PublishBucket {
    const key = `${farm}/${sensor}`;
    const known = this.buckets.get(key);
    if (known) return known.bucket;
    const bucket = new PublishBucket(this.rateOf(sensor), performance.now());
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
