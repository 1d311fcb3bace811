import type { LatestValue } from '../../../backbone/ports/store.ts';
import type { Reading } from '../../../telemetry/reading.ts';
import { type Registry, type RegistryView, UNASSIGNED } from '../../../telemetry/registry.ts';
import { DEFAULT_INTERVAL_S, type StateSince, stateSince } from '../../sensors/state.ts';
import { PHASES } from '../clock.ts';
import type { EntryWindow } from '../feed/entry-window.ts';
import { LIVE, type Need, type Subscription } from '../sockets/viewer.ts';
import { TickFold } from './fold.ts';
import { FarmLatest, type ValueBudget } from './latest.ts';
import { type FarmNow, type SensorNow, type SensorStatus, statusKey, statusOf, urgentKey } from './status.ts';

export interface FarmOptions {
  readonly registry: RegistryView;
  readonly values: ValueBudget;
  /** What came last, for those who come back. */
  readonly window: EntryWindow;
  /** How many messages of a sensor were refused lately. */
  readonly refused: (sensor: string) => number;
}

/** A battery or a signal that wavers is told no oftener. */
const UNHURRIED_MS = 60_000;

interface Told {
  readonly key: string;
  readonly urgent: string;
  /** When that became so, Unix ms; below 0 when it was so when the farm was loaded. */
  readonly at: number;
}

export interface StatusOfSensor extends SensorStatus {
  readonly sensor: string;
}

/** What those get who watch one field and no other. */
export interface OnlyField {
  watchers: number;
  /** In which phase of a long tick it is published. */
  readonly phase: number;
  readonly fold: TickFold;
  /** The last `seq` they were told of, and when, Unix ms. */
  toldSeq: number;
  told: number;
}

function phaseOf(field: string): number {
  let sum = 0;
  for (let i = 0; i < field.length; i++) sum = (sum * 31 + field.charCodeAt(i)) % 1_000_003;
  return sum % PHASES;
}

/** One farm as its viewers see it: the newest values, how its sensors are, what came lately, and who watches which field. */
export class LiveFarm implements FarmNow {
  readonly id: string;
  readonly latest: FarmLatest;
  readonly window: EntryWindow;
  /** What came since the last tick, while somebody watches more than one field. */
  readonly fold = new TickFold();
  /** By field, those who watch this field and no other. */
  readonly only = new Map<string, OnlyField>();
  readonly subscriptions = new Set<Subscription>();
  /** Resolves when what the store knows has been taken in. */
  loaded: Promise<void> | undefined;
  isLoaded = false;
  /** The last `seq` told to everybody who watches more than one field. */
  told = -1;
  /** When somebody last needed it, ms by a clock that nobody sets. */
  needed = 0;
  private readonly options: FarmOptions;
  private readonly statuses = new Map<string, Told>();
  /** How many live subscriptions of those who watch more than one field cover a field, and how many the whole farm. */
  private readonly watched = new Map<string, number>();
  private whole = 0;

  constructor(id: string, options: FarmOptions) {
    this.id = id;
    this.options = options;
    this.latest = new FarmLatest(options.values);
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

  /** Who would get a frame of `field`: those who watch it among others, those who watch the whole farm, those who watch nothing else. */
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

  /** From now on `subscription` gets what is published. Everything of what its viewer watches has been published at this moment. */
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

  /** Lets go of what was to be published. */
  dropRows(): void {
    this.fold.clear();
    for (const { fold } of this.only.values()) fold.clear();
  }

  /** Takes in what the store says. Live values that are newer stay. */
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
      if (!this.hasAudience) continue;
      const field = this.fieldOf(reading.sensor);
      if (this.hasWide) this.fold.take(field, reading);
      this.only.get(field)?.fold.take(field, reading);
    }
  }

  /** A sensor's field now, by the registry. */
  fieldOf(sensor: string): string {
    const known = this.options.registry.current().sensors.get(sensor);
    return known?.farm === this.id ? known.field : UNASSIGNED;
  }

  /** Of `sensors`, those that are another way than was last told; from now on that counts as told. */
  newStatuses(sensors: Iterable<string>, now: number): StatusOfSensor[] {
    const changed: StatusOfSensor[] = [];
    for (const sensor of sensors) {
      const is = this.statusOf(sensor, now);
      const key = statusKey(is);
      const urgent = urgentKey(is);
      const told = this.statuses.get(sensor);
      // Told at a time that is yet to come: the clock was set back.
      const isFresh = told !== undefined && told.at <= now && now - told.at < UNHURRIED_MS;
      if (told?.key === key || (told?.urgent === urgent && isFresh)) continue;
      this.statuses.set(sensor, { key, urgent, at: now });
      changed.push({ sensor, ...is });
    }
    return changed;
  }

  /** Those sensors that have become what they are since `time`, other than by a reading that came since. */
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
    const lastSeen = this.latest.sensors.get(sensor)?.lastSeen ?? null;
    return { ...this.statusOf(sensor, now), lastSeen };
  }

  /** By field, each of its sensors as it stands in a snapshot, as JSON. */
  snapshots(now: number): Map<string, string[]> {
    const registry = this.options.registry.current();
    const byField = new Map<string, string[]>();
    for (const sensor of this.sensorIds()) {
      const field = this.fieldOf(sensor);
      const known = registry.sensors.get(sensor);
      const name = known?.farm === this.id ? known.name : undefined;
      const text = this.snapshotOf(sensor, field, name ?? sensor, now);
      const ofField = byField.get(field);
      if (ofField) ofField.push(text);
      else byField.set(field, [text]);
    }
    return byField;
  }

  /** What a change of which makes the viewers' picture wrong: the farm's sensors and where they belong. */
  shape(registry: Registry): string {
    return JSON.stringify((registry.sensorsOfFarm.get(this.id) ?? []).map((s) => [s.id, s.field, s.name, s.interval]));
  }

  private snapshotOf(sensor: string, field: string, name: string, now: number): string {
    const is = this.sensorNow(sensor, now);
    this.assumeTold(sensor, is);
    const values: Record<string, [number, number]> = {};
    for (const [metric, { ts, value }] of this.latest.sensors.get(sensor)?.values ?? []) values[metric] = [ts, value];
    return JSON.stringify({ sensor, field, name, ...is, values });
  }

  /** What a snapshot says has been told; a change that others wait to be told of still is one. */
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
    return statusOf(this.standingOf(sensor, latest?.lastSeen, now), latest, this.options.refused(sensor));
  }

  private standingOf(sensor: string, lastSeen: number | undefined, now: number): StateSince {
    const known = this.options.registry.current().sensors.get(sensor);
    const interval = known?.farm === this.id ? known.interval : DEFAULT_INTERVAL_S;
    return stateSince(lastSeen, interval * 1000, now);
  }
}
