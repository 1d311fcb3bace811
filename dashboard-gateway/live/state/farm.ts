import type { LatestValue } from '../../../backbone/ports/store.ts';
import { isOfNow } from '../../../telemetry/clock.ts';
import { msOf } from '../../../telemetry/instant.ts';
import type { Reading } from '../../../telemetry/reading.ts';
import type { RegistryView } from '../../../telemetry/registry/registry.ts';
import { UNASSIGNED } from '../../../telemetry/registry/things.ts';
import { DEFAULT_INTERVAL_S, type StateSince, stateSince } from '../../sensors/sensor-state.ts';
import { PHASES } from '../clock.ts';
import type { EntryWindow } from '../feed/entry-window.ts';
import { LIVE, type Need, type Subscription } from '../sockets/viewer.ts';
import { ClockFindings } from './clock-findings.ts';
import { TickFold } from './fold.ts';
import { FarmLatest, type ValueBudget } from './latest.ts';
import type { RefusedLately } from './refused-counts.ts';
import { type FarmNow, type SensorNow, type SensorStatus, statusKey, statusOf, urgentKey } from './sensor-status.ts';

export interface FarmOptions {
  readonly registry: RegistryView;
  readonly values: ValueBudget;
  /** Unix ms. */
  readonly now: () => number;
  /** The latest entries, for viewers that come back. */
  readonly window: EntryWindow;
  /** Absent: nothing is known of what was refused. */
  readonly refused: RefusedLately | undefined;
}

/** When nothing but battery, signal or clock has changed, a status is told at most once in this time. */
const UNHURRIED_MS = 60_000;

interface Told {
  readonly key: string;
  readonly urgent: string;
  /** When this status was found, Unix ms; below 0 when it already held when the farm was loaded. */
  readonly at: number;
}

export interface StatusOfSensor extends SensorStatus {
  readonly sensor: string;
}

/** State for the viewers that watch one field and no other. */
export interface OnlyField {
  watchers: number;
  /** In which phase of a long tick it is published. */
  readonly phase: number;
  readonly fold: TickFold;
  /** The last `seq` they were told of, and when, monotonic ms. */
  toldSeq: number;
  told: number;
}

function phaseOf(field: string): number {
  let sum = 0;
  for (let i = 0; i < field.length; i++) sum = (sum * 31 + field.charCodeAt(i)) % 1_000_003;
  return sum % PHASES;
}

/** One farm as its viewers see it: the newest values, its sensors' statuses, the latest entries, and who watches which field. */
export class LiveFarm implements FarmNow {
  readonly id: string;
  readonly latest: FarmLatest;
  readonly window: EntryWindow;
  /** Rows since the last tick, collected while somebody watches more than one field. */
  readonly fold = new TickFold();
  /** By field: state for the viewers of only that field. */
  readonly only = new Map<string, OnlyField>();
  readonly subscriptions = new Set<Subscription>();
  /** Resolves when the stored values have been taken in. Undefined when loading has not begun or has failed. */
  loaded: Promise<void> | undefined;
  isLoaded = false;
  /** The last `seq` told to everybody who watches more than one field. */
  told = -1;
  /** When it was last needed, ms by a monotonic clock. */
  needed = 0;
  private readonly options: FarmOptions;
  private readonly statuses = new Map<string, Told>();
  private readonly clocks = new ClockFindings();
  /** Live subscriptions of viewers of more than one field: how many cover each field, and how many the whole farm. */
  private readonly watched = new Map<string, number>();
  private whole = 0;

  constructor(id: string, options: FarmOptions) {
    this.id = id;
    this.options = options;
    this.latest = new FarmLatest(options.values, options.now);
    this.window = options.window;
  }

  /** Whether anybody gets what is published. */
  get hasAudience(): boolean {
    return this.hasWide || this.only.size > 0;
  }

  /** Whether anybody watches more than one field. */
  get hasWide(): boolean {
    return this.whole > 0 || this.watched.size > 0;
  }

  /** Who would get a frame of `field`: viewers of this and other fields, viewers of the whole farm, viewers of only this field. */
  audienceOf(field: string): { readonly field: boolean; readonly farm: boolean; readonly only: boolean } {
    return { field: this.watched.has(field), farm: this.whole > 0, only: this.only.has(field) };
  }

  /** Changes what a subscription waits for, and so who is in the audience. */
  setNeed(subscription: Subscription, need: Need): void {
    const before = subscription.need.for === 'nothing' ? 1 : 0;
    const after = need.for === 'nothing' ? 1 : 0;
    subscription.need = need;
    if (before !== after) this.count(subscription, after - before);
  }

  add(subscription: Subscription): void {
    this.subscriptions.add(subscription);
  }

  remove(subscription: Subscription): void {
    this.setNeed(subscription, { for: 'snapshot', gap: false });
    this.subscriptions.delete(subscription);
    const { viewer } = subscription;
    const others = [...viewer.subscriptions.values()].some((other) => other !== subscription && other.farm === this.id);
    if (!others) viewer.narrow(this.id);
  }

  /** Makes `subscription` live. To be called when everything that its viewer watches has just been published. */
  goLive(subscription: Subscription): void {
    const { viewer } = subscription;
    if (!viewer.isWide(this.id) && viewer.wouldBeWide(subscription)) {
      const live = viewer.live(this.id);
      for (const one of live) this.count(one, -1);
      viewer.widen(this.id);
      for (const one of live) this.count(one, 1);
    }
    this.setNeed(subscription, LIVE);
    viewer.arrangeTopics();
  }

  /** Whether there is something to publish. */
  get hasRows(): boolean {
    if (this.fold.rowCount > 0) return true;
    for (const { fold } of this.only.values()) if (fold.rowCount > 0) return true;
    return false;
  }

  /** Drops the rows that were to be published. */
  dropRows(): void {
    this.fold.clear();
    for (const { fold } of this.only.values()) fold.clear();
  }

  /** Takes in the stored values. Live values that are newer stay. */
  takeStored(values: readonly LatestValue[], now: number): void {
    for (const v of values) this.latest.put(v, v.metric, v.value);
    this.isLoaded = true;
    for (const sensor of this.sensorIds()) this.assumeTold(sensor, this.statusOf(sensor, now));
  }

  /** Takes in one announced entry's readings of this farm. */
  takeLive(offset: number, readings: readonly Reading[]): void {
    this.window.add(offset, readings);
    for (const reading of readings) {
      this.latest.take(reading);
      if (!this.hasAudience || !this.latest.shows(reading)) continue;
      const field = this.fieldOf(reading.sensor);
      if (this.hasWide) this.fold.take(field, reading);
      this.only.get(field)?.fold.take(field, reading);
    }
  }

  /** A sensor's field now, by the registry. */
  fieldOf(sensor: string): string {
    return this.options.registry.current().sensor(this.id, sensor)?.field ?? UNASSIGNED;
  }

  /** Those of `sensors` whose status differs from the one told last; from now on the new one counts as told. */
  newStatuses(sensors: Iterable<string>, now: number): StatusOfSensor[] {
    const changed: StatusOfSensor[] = [];
    for (const sensor of sensors) {
      const is = this.statusOf(sensor, now);
      const key = statusKey(is);
      const urgent = urgentKey(is);
      const told = this.statuses.get(sensor);
      // When the clock was set back, `told.at` is in the future.
      const isFresh = told !== undefined && told.at <= now && now - told.at < UNHURRIED_MS;
      if (told?.key === key || (told?.urgent === urgent && isFresh)) continue;
      this.statuses.set(sensor, { key, urgent, at: now });
      changed.push({ sensor, ...is });
    }
    return changed;
  }

  /** The sensors whose status changed since `time`. A reading that made a sensor `online` is no such change by itself. */
  statusesSince(time: number, now: number): StatusOfSensor[] {
    const found: StatusOfSensor[] = [];
    for (const sensor of this.sensorIds()) {
      const is = this.statusOf(sensor, now);
      const changed = is.state !== 'online' && is.since >= time;
      if (changed || (this.statuses.get(sensor)?.at ?? 0) >= time) found.push({ sensor, ...is });
    }
    return found;
  }

  /** Every sensor that is registered or reports. */
  sensorIds(): Set<string> {
    const registered = this.options.registry.current().sensorsOfFarm.get(this.id) ?? [];
    return new Set([...registered.map((s) => s.id), ...this.latest.sensors.keys()]);
  }

  sensorNow(sensor: string, now: number): SensorNow {
    return { ...this.statusOf(sensor, now), lastSeen: this.lastSeenOf(sensor) ?? null };
  }

  /** By field: the JSON of each of its sensors for a snapshot. */
  snapshots(now: number): Map<string, string[]> {
    const registry = this.options.registry.current();
    const byField = new Map<string, string[]>();
    for (const sensor of this.sensorIds()) {
      const field = this.fieldOf(sensor);
      const name = registry.sensor(this.id, sensor)?.name ?? sensor;
      const text = this.snapshotOf(sensor, field, name, now);
      const ofField = byField.get(field);
      if (ofField) ofField.push(text);
      else byField.set(field, [text]);
    }
    return byField;
  }

  private snapshotOf(sensor: string, field: string, name: string, now: number): string {
    const is = this.sensorNow(sensor, now);
    this.assumeTold(sensor, is);
    const values: Record<string, [number, number]> = {};
    for (const [metric, { ts, value }] of this.latest.valuesNow(sensor)) values[metric] = [msOf(ts), value];
    return JSON.stringify({ sensor, field, name, ...is, values });
  }

  /** A status in a snapshot counts as told, unless one was told before: others may still wait to be told of the change. */
  private assumeTold(sensor: string, status: SensorStatus): void {
    if (!this.statuses.has(sensor))
      this.statuses.set(sensor, { key: statusKey(status), urgent: urgentKey(status), at: -1 });
  }

  private count({ fields, viewer }: Subscription, by: number): void {
    const [alone] = fields ?? [];
    if (alone !== undefined && !viewer.isWide(this.id)) {
      const only = this.only.get(alone) ?? {
        watchers: 0,
        phase: phaseOf(alone),
        fold: new TickFold(),
        toldSeq: -1,
        told: 0,
      };
      only.watchers += by;
      if (only.watchers > 0) this.only.set(alone, only);
      else this.only.delete(alone);
      return;
    }
    if (fields === undefined) {
      this.whole += by;
      return;
    }
    for (const field of fields) {
      const count = (this.watched.get(field) ?? 0) + by;
      if (count > 0) this.watched.set(field, count);
      else this.watched.delete(field);
    }
  }

  private statusOf(sensor: string, now: number): SensorStatus {
    const latest = this.latest.sensors.get(sensor);
    const registry = this.options.registry.current();
    const known = registry.sensor(this.id, sensor);
    const clock = this.clocks.of(sensor, latest?.clock, this.options.refused?.clockOf(this.id, sensor), {
      own: known?.clock,
      farm: registry.farms.get(this.id)?.clock,
      floor: known?.clockFloor,
    });
    const shown = latest && { skewMs: latest.skewMs, values: this.latest.valuesNow(sensor) };
    return statusOf(this.standingOf(sensor, now), shown, this.options.refused?.of(this.id, sensor) ?? 0, clock);
  }

  /** A sensor is heard also when all that it sends is refused because of its clock. */
  private lastSeenOf(sensor: string): number | undefined {
    const stored = this.latest.sensors.get(sensor)?.lastSeen;
    const samples = this.options.refused?.clockOf(this.id, sensor)?.list;
    const refused = samples?.findLast(({ at }) => isOfNow(at, this.options.now()))?.at;
    return refused === undefined ? stored : Math.max(stored ?? 0, msOf(refused));
  }

  private standingOf(sensor: string, now: number): StateSince {
    const lastSeen = this.lastSeenOf(sensor);
    // It was heard, by a clock that was ahead: not lately.
    if (lastSeen === undefined && this.latest.sensors.has(sensor)) return { state: 'offline', since: 0 };
    const interval = this.options.registry.current().sensor(this.id, sensor)?.interval ?? DEFAULT_INTERVAL_S;
    return stateSince(lastSeen, interval * 1000, now);
  }
}
