import type { Log } from '../../backbone/ports/log.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { clock } from '../../core/clock.ts';
import { explain, StoreUnavailable } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { Change, RegistryView } from '../../telemetry/registry/registry.ts';
import { inTime } from '../http/in-time.ts';
import { type Due, TickClock } from './clock.ts';
import type { LiveCounters } from './counters.ts';
import { byFarm } from './feed/by-farm.ts';
import { EntryWindow } from './feed/entry-window.ts';
import { type FeedListener, LiveFeed, type WritesListener } from './feed/feed.ts';
import { FramePublisher } from './publisher.ts';
import { CatchUp } from './resume/catch-up.ts';
import { MAX_ROWS, ResumeQueue } from './resume/resume-queue.ts';
import { frames } from './sockets/protocol.ts';
import { Slowness } from './sockets/slowness.ts';
import type { Subscription, Viewer } from './sockets/viewer.ts';
import { type FarmOptions, LiveFarm } from './state/farm.ts';
import { farmsThatLookOther } from './state/looks.ts';
import type { FarmNow } from './state/sensor-status.ts';

/** Readings kept of all farms, for farms that are not watched yet; about as many as LiveFeed begins behind the head. */
const RECENT_READINGS = 50_000;
/** Readings kept of one watched farm, and of all, for viewers who come back. */
const FARM_READINGS = 50_000;
const ALL_READINGS = 500_000;
const MAX_VALUES = 2_000_000;
const FORGET_AFTER_MS = 5 * 60_000;

export interface HubOptions {
  readonly store: Store;
  readonly live: Log;
  readonly registry: RegistryView;
  /** Sends `text` to every socket that joined `topic`, after everything that was sent to it before. */
  readonly publish: (topic: string, text: string) => void;
  /** Absent: nothing is known of what was refused. */
  readonly refused: FarmOptions['refused'];
  readonly counters: LiveCounters;
  /** Hears of everything that is written. */
  readonly writes?: WritesListener | undefined;
  readonly shortestTickMs?: number | undefined;
  readonly now: () => number;
  readonly passed: () => number;
  readonly log: Logger;
}

/**
 * Makes what viewers get.
 *
 * Entries of the live log come in one by one. Each is taken into the newest values of its farm, if the farm is in
 * memory, and into its tick, if it is watched. When the tick ends, `flush` publishes one frame per watched field, then
 * ticks. Only after that it serves the resume queue, with snapshots or missed entries. All of that is one synchronous
 * step. So a snapshot holds exactly the entries up to its `seq`. Its socket joins in the same step and gets exactly the
 * entries after that.
 *
 * A viewer of only one field does not need the ticks of other fields. In a long tick such fields are published one
 * after another, each with a correct tick of its own. When the resume queue is served, all are published at once.
 *
 * A farm is loaded from the store when it is first needed. What is announced meanwhile, or shortly before and perhaps
 * not stored yet, is folded with the stored values, in any order. Only a snapshot waits for the loading.
 */
export class LiveHub implements FeedListener {
  readonly feed: LiveFeed;
  private readonly options: HubOptions;
  private readonly farms = new Map<string, LiveFarm>();
  private readonly recent = new EntryWindow(0, 0, RECENT_READINGS, { left: Number.POSITIVE_INFINITY });
  private readonly values = { left: MAX_VALUES };
  private readonly readings = { left: ALL_READINGS };
  private readonly clock: TickClock;
  private readonly publisher: FramePublisher;
  private readonly catchUp: CatchUp;
  private readonly waiting: ResumeQueue;
  private epoch: string | undefined;
  /** The offsets of the last entry taken in, and of the last one published. */
  private seq = -1;
  private published = -1;
  private leftOut = 0;
  private closed = false;

  constructor(options: HubOptions) {
    const { live, publish, counters, log, writes } = options;
    this.options = options;
    this.clock = new TickClock((due) => this.due(due), options.shortestTickMs);
    this.publisher = new FramePublisher(publish, counters);
    this.feed = new LiveFeed(live, this, log, writes);
    this.catchUp = new CatchUp({ live, decode: (entry) => this.feed.decode(entry), counters, log });
    this.waiting = new ResumeQueue({ catchUp: this.catchUp, counters, changed: () => this.clock.soon() });
  }

  get gauges(): { tickMs: number; farms: number; kept: number; leftOut: number } {
    const farms = [...this.farms.values()];
    return {
      tickMs: this.clock.tickMs,
      farms: farms.length,
      kept: ALL_READINGS - this.readings.left,
      leftOut: this.leftOut + farms.reduce((sum, { latest }) => sum + latest.leftOut, 0),
    };
  }

  begin(epoch: string, seq: number): void {
    this.epoch = epoch;
    this.seq = seq;
    this.published = seq;
    this.recent.restart(seq + 1);
    // Entries may have been missed: what is in memory is no longer the newest.
    for (const farm of this.farms.values()) {
      farm.dropRows();
      farm.window.restart(seq + 1);
      this.load(farm);
      for (const subscription of farm.subscriptions) {
        const isLive = subscription.need.for === 'nothing';
        if (isLive) this.options.counters.gaps.feed++;
        if (isLive || subscription.viewer.slow) this.renew(subscription, true);
        // No tick of the new run may reach a client that still holds the old epoch.
        subscription.viewer.arrangeTopics();
      }
    }
  }

  entry(seq: number, readings: readonly Reading[]): void {
    const begun = clock.passed();
    this.seq = seq;
    this.recent.add(seq, readings);
    for (const [id, ofFarm] of byFarm(readings)) this.farms.get(id)?.takeLive(seq, ofFarm);
    this.clock.worked(clock.passed() - begun);
  }

  pause(): void {
    this.clock.soon();
  }

  /** Adds a subscription. What it needs comes at the end of the next tick, or as soon as it is available. */
  subscribe(subscription: Subscription): void {
    this.farm(subscription.farm).add(subscription);
    this.waiting.add(subscription);
    this.clock.soon();
  }

  unsubscribe(subscription: Subscription): void {
    this.waiting.remove(subscription);
    this.farms.get(subscription.farm)?.remove(subscription);
  }

  /** Stops publishing to a viewer that reads too slowly. It then gets what came, folded, whenever it has read what it got before. */
  slowDown(viewer: Viewer): void {
    const asked = this.options.passed();
    viewer.slow = new Slowness(viewer.timesSlow++, asked);
    this.options.counters.slow.slowed++;
    this.publish(true);
    for (const subscription of viewer.subscriptions.values()) {
      if (subscription.need.for !== 'nothing' || this.epoch === undefined) continue;
      const need = { for: 'entries', epoch: this.epoch, after: this.published, asked } as const;
      this.farms.get(subscription.farm)?.setNeed(subscription, need);
      this.waiting.add(subscription);
    }
    viewer.arrangeTopics();
  }

  /** A farm's sensors as they are now. Resolves when the farm is loaded from the store. Rejects with StoreUnavailable. */
  async farmNow(farmId: string): Promise<FarmNow> {
    const farm = this.farm(farmId);
    await farm.loaded;
    return farm;
  }

  /** To be called a few times a second: waiting subscriptions may be due, or may have waited long enough. */
  serveDue(): void {
    if (this.waiting.size > 0) this.clock.soon();
  }

  /**
   * To be called every second: for sensors that fell silent, ticks of quiet fields, and farms that must be loaded again
   * or forgotten.
   */
  check(): void {
    const passed = this.options.passed();
    this.flush(false);
    for (const farm of this.farms.values()) {
      if (farm.subscriptions.size > 0) farm.needed = passed;
      if (passed - farm.needed > FORGET_AFTER_MS || (this.values.left <= 0 && farm.subscriptions.size === 0)) {
        this.forget(farm);
        continue;
      }
      if (!farm.isLoaded && farm.loaded === undefined) this.load(farm);
      if (!farm.hasAudience) continue;
      if (farm.isLoaded) this.publisher.statuses(farm, farm.sensorIds(), this.options.now());
      this.publisher.tickForQuiet(farm, this.published, this.seq, this.options.now());
    }
  }

  /** Sends a fresh snapshot to the viewers of farms whose sensors were changed in the registry. */
  registryChanged(changes: readonly Change[]): void {
    for (const id of farmsThatLookOther(changes)) {
      for (const subscription of this.farms.get(id)?.subscriptions ?? []) this.renew(subscription, false);
    }
  }

  close(): void {
    this.closed = true;
    this.catchUp.close();
    this.clock.close();
    this.farms.clear();
    this.waiting.clear();
  }

  /** Lets a subscription wait for a fresh snapshot. If it still waits for the notice of a gap, it gets that too. */
  private renew(subscription: Subscription, gap: boolean): void {
    const { need } = subscription;
    const owesGap = need.for === 'entries' || (need.for === 'snapshot' && need.gap);
    this.farms.get(subscription.farm)?.setNeed(subscription, { for: 'snapshot', gap: gap || owesGap });
    this.waiting.add(subscription);
    this.clock.soon();
  }

  private farm(id: string): LiveFarm {
    const { registry, refused } = this.options;
    let farm = this.farms.get(id);
    if (!farm) {
      const { from } = this.recent;
      const window = new EntryWindow(from, this.recent.timeOf(from - 1), FARM_READINGS, this.readings);
      farm = new LiveFarm(id, { registry, values: this.values, window, refused, now: this.options.now });
      this.farms.set(id, farm);
      for (const { offset, readings } of this.recent.after(-1)) {
        farm.takeLive(
          offset,
          readings.filter((reading) => reading.farm === id),
        );
      }
    }
    farm.needed = this.options.passed();
    if (!farm.isLoaded && farm.loaded === undefined) this.load(farm);
    return farm;
  }

  /** Asks the store for the farm's newest values. When it cannot answer, `check` asks again. */
  private load(farm: LiveFarm): void {
    farm.isLoaded = false;
    const loading = inTime(this.options.store.latest(farm.id, [...farm.sensorIds()])).then((values) => {
      if (this.closed || farm.loaded !== loading) return;
      farm.takeStored(values, this.options.now());
      this.clock.soon();
    });
    farm.loaded = loading;
    loading.catch((error: unknown) => {
      if (farm.loaded !== loading) return;
      farm.loaded = undefined;
      if (this.closed) return;
      if (!(error instanceof StoreUnavailable)) this.options.log.error({ farm: farm.id }, `store: ${explain(error)}`);
      for (const { id, viewer, need } of farm.subscriptions) {
        if (need.for !== 'snapshot') continue;
        viewer.wire.send(frames.error(id, 'store-unavailable', 'the snapshot follows when the store is back'));
      }
    });
  }

  private forget(farm: LiveFarm): void {
    this.farms.delete(farm.id);
    this.leftOut += farm.latest.leftOut;
    farm.loaded = undefined;
    farm.latest.release();
    farm.window.release();
  }

  private due(due: Due): void {
    if (due.end) this.flush(due.undivided);
    else for (const farm of this.farms.values()) this.publishOnly(farm, due.phase);
    for (const farm of this.farms.values()) if (farm.hasRows) this.clock.soon();
  }

  /** Ends a tick. Synchronous from the first frame to the last snapshot, so that no entry is lost or sent twice in between. */
  private flush(undivided: boolean): void {
    if (this.epoch === undefined) return;
    const farm = (id: string) => this.farms.get(id);
    const moment = { epoch: this.epoch, seq: this.seq, now: this.options.now(), passed: this.options.passed(), farm };
    const hasGuests = this.waiting.hasDue(moment);
    this.publish(undivided || hasGuests);
    if (hasGuests && this.waiting.serve(moment)) this.clock.soon();
  }

  /**
   * Publishes what came. Viewers of more than one field get all of it; viewers of one field too if `all`, otherwise if
   * it is due in phase 0.
   */
  private publish(all: boolean): void {
    this.published = this.seq;
    for (const farm of this.farms.values()) {
      if (farm.fold.rowCount > MAX_ROWS) this.tooMuch(farm);
      else if (farm.fold.rowCount > 0) this.publisher.rows(farm, this.published, this.options.now());
      this.publishOnly(farm, all ? undefined : 0);
    }
  }

  private publishOnly(farm: LiveFarm, phase: number | undefined): void {
    for (const [field, only] of farm.only) {
      if (only.fold.rowCount === 0 || (phase !== undefined && only.phase !== phase)) continue;
      if (only.fold.rowCount > MAX_ROWS) {
        this.tooMuch(farm);
        return;
      }
      this.publisher.only(farm, field, only, this.seq, this.options.now());
    }
  }

  private tooMuch(farm: LiveFarm): void {
    farm.dropRows();
    for (const subscription of farm.subscriptions) {
      if (subscription.need.for !== 'nothing') continue;
      this.options.counters.gaps['too-much']++;
      this.renew(subscription, true);
      subscription.viewer.arrangeTopics();
    }
  }
}
