import type { Store } from '../../backbone/store/port.ts';
import { explain, StoreUnavailable } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { Registry, RegistryView } from '../../telemetry/registry.ts';
import { inTime } from '../http/in-time.ts';
import { LiveFarm } from './farm.ts';
import type { FeedListener } from './feed.ts';
import { Pace } from './pace.ts';
import { frames } from './protocol.ts';
import { RecentReadings } from './recent.ts';
import { type Subscription, topics } from './viewer.ts';

/** Readings kept for farms that nobody watches yet; about what LiveFeed begins behind the head. */
const RECENT_READINGS = 50_000;
const MAX_VALUES = 2_000_000;
/** Rows of one farm in one tick; more than that is a gap, for charts fetch a range faster. */
const MAX_ROWS = 20_000;
const FORGET_AFTER_MS = 60_000;

export interface HubOptions {
  readonly store: Store;
  readonly registry: RegistryView;
  /** Sends `text` to every socket that joined `topic`, behind what was sent to it before. */
  readonly publish: (topic: string, text: string) => void;
  readonly now: () => number;
  readonly log: Logger;
}

/**
 * What viewers get. Its story:
 *
 * Entries of the live log come in one by one. Each is taken into the newest values of its farm, if somebody watches that farm, and into the farm's tick.
 * When the tick ends, `flush` publishes one frame per field and one tick per farm, and only then makes the snapshots that are asked for.
 * All of that is one synchronous step. So a snapshot holds exactly the entries up to its `seq`, and its socket, joined in the same step,
 * gets exactly those after it: nothing is missing in between and nothing goes back.
 *
 * A farm is loaded from the store when it is first needed. What is announced meanwhile, and what was announced shortly before and may not be stored yet,
 * is folded with it; the order does not matter. A subscription whose farm cannot be loaded waits until it can.
 */
export class LiveHub implements FeedListener {
  private readonly options: HubOptions;
  private readonly farms = new Map<string, LiveFarm>();
  private readonly recent = new RecentReadings(RECENT_READINGS);
  private readonly budget = { left: MAX_VALUES };
  private readonly pace = new Pace();
  /** Subscriptions that wait for a snapshot. */
  private readonly waiting = new Set<Subscription>();
  private timer: NodeJS.Timeout | undefined;
  private epoch: string | undefined;
  private seq = -1;
  private closed = false;

  constructor(options: HubOptions) {
    this.options = options;
  }

  begin(epoch: string, seq: number): void {
    this.epoch = epoch;
    this.seq = seq;
    // Entries may have been missed: what is in memory is no longer the newest.
    for (const farm of this.farms.values()) {
      farm.fold.clear();
      this.load(farm);
      for (const subscription of farm.subscriptions) {
        this.renew(subscription, subscription.live || subscription.gap);
        // No tick of the new run may reach a client that still holds the old epoch.
        subscription.live = false;
        subscription.viewer.arrangeTopics();
      }
    }
  }

  entry(seq: number, readings: readonly Reading[]): void {
    const begun = performance.now();
    this.seq = seq;
    if (readings.length > 0) this.recent.add(readings);
    for (const reading of readings) {
      const farm = this.farms.get(reading.farm);
      farm?.takeLive(reading, farm.subscriptions.size > 0);
    }
    this.pace.worked(performance.now() - begun);
  }

  pause(): void {
    this.flushSoon();
  }

  /** Adds a subscription: its snapshot comes with the next tick, or when its farm has been loaded. */
  subscribe(subscription: Subscription): void {
    const farm = this.farm(subscription.farm);
    farm.subscriptions.add(subscription);
    this.renew(subscription, subscription.gap);
  }

  unsubscribe(subscription: Subscription): void {
    this.waiting.delete(subscription);
    subscription.live = false;
    this.farms.get(subscription.farm)?.subscriptions.delete(subscription);
  }

  /** A fresh snapshot for a subscription, after a gap or not. */
  renew(subscription: Subscription, gap: boolean): void {
    subscription.gap = gap;
    this.waiting.add(subscription);
    this.flushSoon();
  }

  /** By sensor, when its last reading was received, Unix ms. Rejects with StoreUnavailable. */
  async lastSeen(farmId: string): Promise<ReadonlyMap<string, number>> {
    const farm = this.farm(farmId);
    await farm.loaded;
    return new Map([...farm.latest.sensors].map(([sensor, { lastSeen }]) => [sensor, lastSeen]));
  }

  /** To be called every few seconds: sensors that fell silent, ticks of quiet farms, farms that cannot be loaded or are no longer needed. */
  check(): void {
    const now = this.options.now();
    this.flush();
    for (const farm of this.farms.values()) {
      if (farm.subscriptions.size > 0) farm.needed = now;
      if (now - farm.needed > FORGET_AFTER_MS) this.forget(farm);
      else if (!farm.isLoaded && farm.loaded === undefined) this.load(farm);
      if (farm.subscriptions.size === 0 || !farm.isLoaded) continue;
      this.publishStates(farm, farm.sensorIds());
      if (farm.told !== this.seq) this.publishTick(farm);
    }
  }

  /** The registry is another one: farms whose sensors changed are shown anew. */
  registryChanged(before: Registry, after: Registry): void {
    for (const farm of this.farms.values()) {
      if (farm.shape(before) === farm.shape(after)) continue;
      for (const subscription of farm.subscriptions) this.renew(subscription, subscription.gap);
    }
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.farms.clear();
    this.waiting.clear();
  }

  private farm(id: string): LiveFarm {
    const now = this.options.now();
    let farm = this.farms.get(id);
    if (!farm) {
      farm = new LiveFarm(id, this.options.registry, this.budget, now);
      this.farms.set(id, farm);
      for (const reading of this.recent.of(id)) farm.takeLive(reading, false);
    }
    farm.needed = now;
    if (!farm.isLoaded && farm.loaded === undefined) this.load(farm);
    return farm;
  }

  /** Asks the store for the farm's newest values. When it cannot answer, `check` asks again. */
  private load(farm: LiveFarm): void {
    farm.isLoaded = false;
    const loading = inTime(this.options.store.latest(farm.id)).then((values) => {
      if (this.closed || farm.loaded !== loading) return;
      farm.takeStored(values);
      this.flushSoon();
    });
    farm.loaded = loading;
    loading.catch((error: unknown) => {
      if (farm.loaded !== loading) return;
      farm.loaded = undefined;
      if (this.closed) return;
      if (!(error instanceof StoreUnavailable)) this.options.log.error({ farm: farm.id }, `store: ${explain(error)}`);
      for (const { id, viewer, live } of farm.subscriptions) {
        if (!live)
          viewer.wire.send(frames.error(id, 'store-unavailable', 'the snapshot follows when the store is back'));
      }
    });
  }

  private forget(farm: LiveFarm): void {
    this.farms.delete(farm.id);
    farm.loaded = undefined;
    farm.latest.release();
  }

  private flushSoon(): void {
    if (this.timer || this.closed) return;
    const due = performance.now() + this.pace.tickMs;
    this.timer = setTimeout(() => {
      const late = performance.now() - due;
      this.flush();
      this.pace.ended(late);
    }, this.pace.tickMs);
  }

  /** The end of a tick. Synchronous from the first frame to the last snapshot: that is what keeps the seam tight. */
  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const begun = performance.now();
    for (const farm of this.farms.values()) {
      if (farm.fold.rowCount > 0) this.publishRows(farm);
    }
    this.sendSnapshots();
    this.pace.worked(performance.now() - begun);
  }

  private publishRows(farm: LiveFarm): void {
    if (farm.fold.rowCount > MAX_ROWS) {
      farm.fold.clear();
      for (const subscription of farm.subscriptions) this.renew(subscription, true);
      return;
    }
    for (const [field, rows] of farm.fold.fields()) this.publish(farm.id, field, frames.readings(farm.id, field, rows));
    this.publishStates(farm, farm.fold.sensors());
    this.publishTick(farm);
    farm.fold.clear();
  }

  private publishStates(farm: LiveFarm, sensors: Iterable<string>): void {
    for (const { sensor, state, since } of farm.changedStates(sensors, this.options.now())) {
      this.publish(farm.id, farm.fieldOf(sensor), frames.status(farm.id, sensor, state, since));
    }
  }

  private publishTick(farm: LiveFarm): void {
    farm.told = this.seq;
    this.options.publish(topics.tick(farm.id), frames.tick(farm.id, this.seq));
  }

  private publish(farm: string, field: string, text: string): void {
    this.options.publish(topics.farm(farm), text);
    this.options.publish(topics.field(farm, field), text);
  }

  private sendSnapshots(): void {
    // Many may ask for the same at once, after a break of the net: it is made once.
    const made = new Map<string, string>();
    for (const subscription of this.waiting) {
      const farm = this.farms.get(subscription.farm);
      const { viewer } = subscription;
      if (this.epoch === undefined || !farm?.isLoaded || viewer.behind) continue;
      this.waiting.delete(subscription);
      const key = `${farm.id} ${subscription.fields === undefined ? '*' : [...subscription.fields].sort().join(' ')}`;
      const sensors = made.get(key) ?? farm.snapshotOf(subscription.fields, this.options.now());
      made.set(key, sensors);
      this.sendSnapshot(subscription, this.epoch, sensors);
    }
  }

  private sendSnapshot(subscription: Subscription, epoch: string, sensors: string): void {
    const { viewer, id } = subscription;
    if (subscription.gap) viewer.wire.send(frames.gap(id));
    subscription.gap = false;
    subscription.live = true;
    const text = frames.snapshot(id, epoch, this.seq, sensors);
    viewer.allowance += text.length;
    viewer.wire.send(text);
    viewer.arrangeTopics();
  }
}
