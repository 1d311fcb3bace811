import { LRUCache } from 'lru-cache';
import { clock } from '../../core/clock.ts';
import { TokenBucket, type TokenRate } from '../../core/token-bucket.ts';
import { farmRate } from '../../telemetry/farm-quotas.ts';
import { type Rate, rateOf } from '../../telemetry/rate.ts';
import type { Change, RegistryView } from '../../telemetry/registry/registry.ts';
import type { Identity } from '../auth/identity.ts';
import type { BrokerCounters } from '../counters.ts';

/**
 * How much a sensor may publish now, in messages and in bytes, and its farm where that has a quota; the smallest of these holds. Times are
 * monotonic ms.
 */
export class PublishBucket {
  /** That of all sensors and bridges of the farm together. */
  farm: PublishBucket | undefined;
  private readonly messages: TokenBucket;
  private readonly bytes: TokenBucket;

  constructor(rate: Rate, now: number) {
    this.messages = new TokenBucket(messagesOf(rate), now);
    this.bytes = new TokenBucket(bytesOf(rate), now);
  }

  /** How many ms until the next publish may be taken; 0: now. */
  waitMs(now: number): number {
    const own = Math.max(this.messages.waitMs(now), this.bytes.waitMs(now));
    return this.farm === undefined ? own : Math.max(own, this.farm.waitMs(now));
  }

  take(bytes: number): void {
    this.messages.take(1);
    this.bytes.take(bytes);
    this.farm?.take(bytes);
  }

  /** Takes bytes that belong to a publish that was taken before. */
  takeBytes(bytes: number): void {
    this.bytes.take(bytes);
    this.farm?.takeBytes(bytes);
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

  takeBytes(bytes: number): void {
    this.bucket.takeBytes(bytes);
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

/** One bucket for each sensor and bridge, shared by all its connections, and one for each farm with a quota, shared by all of these. */
export class PublishBuckets {
  private readonly registry: RegistryView;
  private readonly buckets = new LRUCache<string, Owned>({ max: MOST_BUCKETS });
  private readonly farms = new Map<string, PublishBucket>();

  constructor(registry: RegistryView) {
    this.registry = registry;
  }

  of({ farm, sensor }: SensorKey): PublishBucket {
    const key = `${farm}/${sensor}`;
    const known = this.buckets.get(key);
    if (known) return known.bucket;
    const owner = { farm, sensor };
    const bucket = new PublishBucket(this.rateOf(owner), clock.passed());
    bucket.farm = this.ofFarm(farm);
    this.buckets.set(key, { owner, bucket });
    return bucket;
  }

  /** Applies the rates of the registry that have changed. */
  registryChanged(changes: readonly Change[]): void {
    const farms = new Set(changes.flatMap(({ kind, id }) => (kind === 'farm' ? [id] : [])));
    for (const farm of farms) this.changeFarm(farm);
    if (farms.size > 0) {
      for (const { owner, bucket } of this.buckets.values()) {
        if (farms.has(owner.farm)) bucket.farm = this.ofFarm(owner.farm);
      }
    }
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

  /** The bucket of a farm's quota; undefined when it has none. */
  private ofFarm(farm: string): PublishBucket | undefined {
    const known = this.farms.get(farm);
    if (known) return known;
    const rate = farmRate(this.registry.current().farms.get(farm)?.quotas);
    if (rate === undefined) return undefined;
    const bucket = new PublishBucket(rate, clock.passed());
    this.farms.set(farm, bucket);
    return bucket;
  }

  private changeFarm(farm: string): void {
    const rate = farmRate(this.registry.current().farms.get(farm)?.quotas);
    if (rate === undefined) this.farms.delete(farm);
    else this.farms.get(farm)?.change(rate);
  }

  private rateOf({ farm, sensor }: SensorKey): Rate {
    const registry = this.registry.current();
    return rateOf(registry.sensor(farm, sensor) ?? { role: 'sensor' }, registry.rates);
  }
}
