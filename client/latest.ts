import {
  type Condition,
  condition,
  type Measured,
  type Row,
  type SensorState,
  type ServerMessage,
} from './messages.ts';

/** More sensors than this in one farm, or metrics in one sensor, are left out and counted in `ignored`. */
const MAX_SENSORS = 20_000;
const MAX_METRICS = 64;
/** A value dated further ahead of now was dated by a clock that was wrong then, ms. The gateway has the same limit. */
const MAX_AHEAD_MS = 5 * 60_000;

/** What is known of one sensor. Times are Unix ms. The object never changes: each change makes a new one. */
export interface SensorView {
  readonly id: string;
  readonly field: string | undefined;
  readonly name: string;
  readonly state: SensorState;
  /** Since when it is in `state`, where the server said so. */
  readonly since: number | undefined;
  /** When its last reading was received, as far as the server said so. */
  readonly lastSeen: number | undefined;
  readonly condition: Condition;
  readonly values: ReadonlyMap<string, Measured>;
}

/** One sensor as the gateway's list of sensors describes it. */
export interface SensorDescription {
  readonly id: string;
  readonly field: string | undefined;
  readonly name: string | undefined;
  readonly state: SensorState;
  readonly lastSeen: number | undefined;
  readonly condition: Condition;
}

type News = Extract<ServerMessage, { type: 'snapshot' | 'readings' | 'status' }>;

/**
 * The newest value of each metric of each sensor of one farm, by time of measurement: an older row never replaces a
 * newer one, and one of a time to come is none. `describe` and `apply` return the ids of the sensors that changed.
 */
export class Latest {
  readonly #sensors = new Map<string, SensorView>();
  readonly #now: () => number;
  #ignored = 0;

  /** `now`: the gateway's time, Unix ms. Without it every value is of now, whatever its date. */
  constructor(now: () => number = () => Number.POSITIVE_INFINITY) {
    this.#now = now;
  }

  /** How many sensors and metrics were left out because of the limits. */
  get ignored(): number {
    return this.#ignored;
  }

  get ids(): string[] {
    return [...this.#sensors.keys()];
  }

  get(sensor: string): SensorView | undefined {
    return this.#sensors.get(sensor);
  }

  clear(): void {
    this.#sensors.clear();
  }

  /** Takes the farm's list of sensors. As with a snapshot, sensors that are no longer in it are forgotten. */
  describe(sensors: readonly SensorDescription[]): Set<string> {
    const changed = new Set<string>();
    this.#forgetAllBut(new Set(sensors.map((s) => s.id)), changed);
    for (const { id, field, name, state, lastSeen, condition: told } of sensors) {
      const known = this.#sensors.get(id) ?? unknownSensor(id);
      const condition = join(known.condition, told);
      this.#put({ ...known, field, name: name ?? id, state, lastSeen, condition }, changed);
    }
    return changed;
  }

  apply(news: News): Set<string> {
    const changed = new Set<string>();
    switch (news.type) {
      case 'snapshot':
        this.#forgetAllBut(new Set(news.sensors.map((s) => s.sensor)), changed);
        for (const { sensor, field, name, state, lastSeen, condition: told, values: found } of news.sensors) {
          const known = this.#sensors.get(sensor) ?? unknownSensor(sensor);
          const values = this.#newer(known.values, found);
          const condition = join(known.condition, told);
          this.#put({ ...known, field, name: name ?? sensor, state, lastSeen, condition, values }, changed);
        }
        break;
      case 'readings':
        for (const [sensor, values] of bySensor(news.rows)) {
          const known = this.#sensors.get(sensor) ?? { ...unknownSensor(sensor), field: news.field };
          // A sensor that reports is online, until a later status message says otherwise.
          const since = known.state === 'online' ? known.since : undefined;
          this.#put({ ...known, state: 'online', since, values: this.#newer(known.values, values) }, changed);
        }
        break;
      case 'status': {
        const { state, since } = news;
        const known = this.#sensors.get(news.sensor);
        if (known) this.#put({ ...known, state, since, condition: join(known.condition, news.condition) }, changed);
        break;
      }
    }
    return changed;
  }

  #forgetAllBut(kept: ReadonlySet<string>, changed: Set<string>): void {
    for (const id of this.#sensors.keys()) {
      if (kept.has(id)) continue;
      this.#sensors.delete(id);
      changed.add(id);
    }
  }

  #put(view: SensorView, changed: Set<string>): void {
    if (this.#sensors.size >= MAX_SENSORS && !this.#sensors.has(view.id)) {
      this.#ignored++;
      return;
    }
    this.#sensors.set(view.id, view);
    changed.add(view.id);
  }

  #newer(known: ReadonlyMap<string, Measured>, news: ReadonlyMap<string, Measured>): ReadonlyMap<string, Measured> {
    const latest = this.#now() + MAX_AHEAD_MS;
    // A clock that is right again: what seemed to be of now while it was ahead no longer is.
    const values = new Map([...known].filter(([, [ts]]) => ts <= latest));
    for (const [metric, measured] of news) {
      if (measured[0] > latest) continue;
      const before = values.get(metric);
      if (before !== undefined && before[0] > measured[0]) continue;
      if (before === undefined && values.size >= MAX_METRICS) this.#ignored++;
      else values.set(metric, measured);
    }
    return values;
  }
}

/** What the newer message leaves out stays as it was. */
function join(known: Condition, told: Condition): Condition {
  return {
    skewMs: told.skewMs ?? known.skewMs,
    clock: told.clock ?? known.clock,
    refused: told.refused ?? known.refused,
    battery: told.battery ?? known.battery,
    signal: told.signal ?? known.signal,
    firmware: told.firmware ?? known.firmware,
  };
}

function bySensor(rows: readonly Row[]): Map<string, Map<string, Measured>> {
  const sensors = new Map<string, Map<string, Measured>>();
  for (const { sensor, metric, ts, last } of rows) {
    const values = sensors.get(sensor) ?? new Map<string, Measured>();
    sensors.set(sensor, values);
    if ((values.get(metric)?.[0] ?? Number.NEGATIVE_INFINITY) <= ts) values.set(metric, [ts, last]);
  }
  return sensors;
}

/** A sensor that reported before any list or snapshot named it. It has just reported, so it is online. */
function unknownSensor(id: string): SensorView {
  return {
    id,
    field: undefined,
    name: id,
    state: 'online',
    since: undefined,
    lastSeen: undefined,
    condition: condition({}),
    values: new Map(),
  };
}
