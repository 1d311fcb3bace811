import type { LatestValue } from '../../backbone/store/port.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { type Registry, type RegistryView, UNASSIGNED } from '../../telemetry/registry.ts';
import { DEFAULT_INTERVAL_S, type SensorState, type Standing, standing } from '../sensor-state.ts';
import { sensorsOf } from '../sensors.ts';
import { TickFold } from './fold.ts';
import { FarmLatest, type ValueBudget } from './latest.ts';
import type { Subscription } from './viewer.ts';

/** One farm as its viewers see it: the newest values, the states of its sensors, and what came since the last tick. */
export class LiveFarm {
  readonly id: string;
  readonly latest: FarmLatest;
  readonly fold = new TickFold();
  readonly subscriptions = new Set<Subscription>();
  /** Resolves when what the store knows has been taken in. */
  loaded: Promise<void> | undefined;
  isLoaded = false;
  /** The last `seq` told in a tick. */
  told = -1;
  /** When somebody last needed it, Unix ms. */
  needed: number;
  private readonly registry: RegistryView;
  private readonly states = new Map<string, SensorState>();

  constructor(id: string, registry: RegistryView, budget: ValueBudget, now: number) {
    this.id = id;
    this.registry = registry;
    this.latest = new FarmLatest(budget);
    this.needed = now;
  }

  /** Takes in what the store says. Live values that are newer stay. */
  takeStored(values: readonly LatestValue[]): void {
    for (const v of values) this.latest.put(v.sensor, v.metric, v.ts, v.value, v.received);
    this.isLoaded = true;
  }

  /** Takes in an announced reading; with `publish`, it goes into the next tick too. */
  takeLive({ sensor, ts, received, values }: Reading, publish: boolean): void {
    const field = publish ? this.fieldOf(sensor) : '';
    for (const [metric, value] of Object.entries(values)) {
      this.latest.put(sensor, metric, ts, value, received);
      if (publish) this.fold.add(field, sensor, metric, ts, value);
    }
  }

  /** A sensor's field now, by the registry. */
  fieldOf(sensor: string): string {
    const known = this.registry.current().sensors.get(sensor);
    return known?.farm === this.id ? known.field : UNASSIGNED;
  }

  /** Of `sensors`, those whose state is another than was last told; from now on the new ones count as told. */
  changedStates(sensors: Iterable<string>, now: number): (Standing & { readonly sensor: string })[] {
    const changed: (Standing & { readonly sensor: string })[] = [];
    for (const sensor of sensors) {
      const is = this.standingOf(sensor, now);
      if (this.states.get(sensor) === is.state) continue;
      changed.push({ sensor, ...is });
      this.states.set(sensor, is.state);
    }
    return changed;
  }

  /** Every sensor that is registered or reports. */
  sensorIds(): Set<string> {
    const registered = this.registry.current().sensorsOfFarm.get(this.id) ?? [];
    return new Set([...registered.map((s) => s.id), ...this.latest.sensors.keys()]);
  }

  /** The `sensors` of a snapshot of some fields or of all, as JSON. */
  snapshotOf(fields: ReadonlySet<string> | undefined, now: number): string {
    const shown = sensorsOf(this.registry.current(), this.id, this.latest.sensors.keys());
    const wanted = fields === undefined ? shown : shown.filter((s) => fields.has(s.field));
    const sensors = wanted.map(({ id, field, name }) => {
      const known = this.latest.sensors.get(id);
      const { state } = this.standingOf(id, now);
      // What a snapshot says has been told; a change that others wait to be told of still is one.
      if (!this.states.has(id)) this.states.set(id, state);
      const values: Record<string, [number, number]> = {};
      for (const [metric, { ts, value }] of known?.values ?? []) values[metric] = [ts, value];
      return { sensor: id, field, name, state, lastSeen: known?.lastSeen ?? null, values };
    });
    return JSON.stringify(sensors);
  }

  /** What a change of which makes the viewers' picture wrong: the farm's sensors and where they belong. */
  shape(registry: Registry): string {
    return JSON.stringify((registry.sensorsOfFarm.get(this.id) ?? []).map((s) => [s.id, s.field, s.name, s.interval]));
  }

  private standingOf(sensor: string, now: number): Standing {
    const known = this.registry.current().sensors.get(sensor);
    const interval = known?.farm === this.id ? known.interval : DEFAULT_INTERVAL_S;
    return standing(this.latest.sensors.get(sensor)?.lastSeen, interval * 1000, now);
  }
}
