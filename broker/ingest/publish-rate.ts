import { LRUCache } from 'lru-cache';
import { clock } from '../../core/clock.ts';
import { TokenBucket, type TokenRate } from '../../core/token-bucket.ts';
import { type Rate, rateOf } from '../../telemetry/rate.ts';
import type { Change, RegistryView } from '../../telemetry/registry/registry.ts';
import type { Identity } from '../auth/identity.ts';
import type { BrokerCounters } from '../counters.ts';

/** How much a sensor may publish now, in messages and in bytes; the smaller of the two holds. Times are monotonic ms. */
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

  /** Applies another rate from now on. */
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

  /** `goOn` is called when a connection that was slowed down may be read again. */
  constructor(bucket: PublishBucket, goOn: () => void, counters: BrokerCounters) {
    this.bucket = bucket;
    this.goOn = goOn;
    this.counters = counters;
  }

  /** Whether the sensor has used up its rate. If so, `goOn` is called when the next publish may be taken. */
  isSlowed(): boolean {
    if (this.timer) return true;
    const waitMs = this.bucket.waitMs(clock.passed());
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

/** A bucket is kept after its sensor disconnects, so that connecting again does not fill it. At most so many are kept. */
const MOST_BUCKETS = 50_000;

type SensorKey = Pick<Identity, 'farm' | 'sensor'>;

interface Owned {
  readonly owner: SensorKey;
  readonly bucket: PublishBucket;
}

/** One bucket for each sensor and bridge, shared by all its connections. */
export class PublishBuckets {
  private readonly registry: RegistryView;
  private readonly buckets = new LRUCache<string, Owned>({ max: MOST_BUCKETS });

  constructor(registry: RegistryView) {
    this.registry = registry;
  }

  of({ farm, sensor }: SensorKey): PublishBucket {
    const key = `${farm}/${sensor}`;
    const known = this.buckets.get(key);
    if (known) return known.bucket;
    const owner = { farm, sensor };
    const bucket = new PublishBucket(this.rateOf(owner), clock.passed());
    this.buckets.set(key, { owner, bucket });
    return bucket;
  }

  /** Applies the rates of the registry that have changed. */
  registryChanged(changes: readonly Change[]): void {
    // The rates of all sensors may have changed.
    if (changes.some(({ kind }) => kind === 'setting')) {
      for (const { owner, bucket } of this.buckets.values()) bucket.change(this.rateOf(owner));
      return;
    }
    for (const { kind, id } of changes) {
      const owned = kind === 'sensor' ? this.buckets.peek(id) : undefined;
      owned?.bucket.change(this.rateOf(owned.owner));
    }
  }

  private rateOf({ farm, sensor }: SensorKey): Rate {
    const registry = this.registry.current();
    return rateOf(registry.sensor(farm, sensor) ?? { role: 'sensor' }, registry.rates);
  }
}
