import { MappingTable } from '../mappings/table.ts';
import type { Rates } from '../rate.ts';
import { changesOf, type KnownThings, verify } from './checks.ts';
import { EuiIndex } from './eui-index.ts';
import { type KeyedValue, keyedName, MOST_KEYED, sealedIn, tokenOf } from './keyed.ts';
import { referencesOf } from './references.ts';
import type { Change, ChangeOf, Edit, Registry } from './registry.ts';
import {
  type Farm,
  type Field,
  idOf,
  KINDS,
  type Kind,
  type Metric,
  type NamedThing,
  type RegistrySetting,
  type Sensor,
  type Thing,
  type Things,
} from './things.ts';

/**
 * The registry in memory. Its indexes are edited in place: an edit takes time that grows with what it changes, not with
 * the registry.
 */
export class RegistryState implements Registry, KnownThings {
  readonly farms = new Map<string, Farm>();
  readonly fields = new Map<string, Map<string, Field>>();
  readonly sensorsBySecret = new Map<string, Sensor>();
  readonly sensorsByToken = new Map<string, Sensor>();
  readonly users = new Map<string, Things['user']>();
  readonly sources = new Map<string, Things['source']>();
  readonly codecs = new Map<string, Things['codec']>();
  readonly mappings = new MappingTable();
  metrics: ReadonlyMap<string, Metric> = new Map();
  rates: Rates = {};
  private readonly settings = new Map<string, RegistrySetting>();
  private readonly byFarm = new Map<string, Map<string, Sensor>>();
  /** Nearly every id is that of one sensor: a list for each would take more memory than the sensors. */
  private readonly byId = new Map<string, Sensor | readonly Sensor[]>();
  private readonly euis = new EuiIndex();
  /** The lists of `sensorsOfFarm` that were asked for since the farm's last change. */
  private readonly listed = new Map<string, readonly Sensor[]>();
  /** How many things name a farm, field or codec, by kind and id. */
  private readonly uses = new Map<string, number>();
  /** What in a thing is sealed, by kind and id; of things in which something is. */
  private readonly sealed = new Map<string, readonly KeyedValue[]>();
  private readonly counts = new Map<Kind, number>();
  private readonly lookups: { readonly [K in Kind]: (id: string) => Things[K] | undefined } = {
    farm: (id) => this.farms.get(id),
    field: (id) => within(this.fields, id),
    sensor: (id) => within(this.byFarm, id),
    metric: (id) => this.metrics.get(id),
    user: (id) => this.users.get(id),
    source: (id) => this.sources.get(id),
    setting: (id) => this.settings.get(id),
    codec: (id) => this.codecs.get(id),
    mapping: (id) => this.mappings.get(id),
  };

  /** A registry of these things. Throws RegistryInvalid. */
  static of(edits: readonly Edit[]): RegistryState {
    const state = new RegistryState();
    state.apply(state.check(edits));
    return state;
  }

  get sensorCount(): number {
    return this.countOf('sensor');
  }

  get sensors(): readonly Sensor[] {
    return [...this.byFarm.values()].flatMap((ofFarm) => [...ofFarm.values()]);
  }

  readonly sensorsOfFarm = {
    get: (farm: string): readonly Sensor[] | undefined => {
      const ofFarm = this.byFarm.get(farm);
      if (!ofFarm) return undefined;
      const list = this.listed.get(farm) ?? [...ofFarm.values()];
      this.listed.set(farm, list);
      return list;
    },
  };

  get keyed(): readonly string[] {
    const names: string[] = [];
    for (const value of this.keyedValues()) {
      if (names.length >= MOST_KEYED) break;
      names.push(keyedName(value));
    }
    return names;
  }

  *keyedValues(): Iterable<KeyedValue> {
    for (const sensor of this.sensorsByToken.values()) yield* tokenOf(sensor);
    for (const ofThing of this.sealed.values()) yield* ofThing;
  }

  sensor(farm: string, id: string): Sensor | undefined {
    return this.byFarm.get(farm)?.get(id);
  }

  registered(farm: string, id: string): string | undefined {
    return this.sensor(farm, id) ? id : this.euis.find(farm, id);
  }

  sensorsWithId(id: string): readonly Sensor[] {
    const found = this.byId.get(id);
    if (found === undefined) return [];
    return isList(found) ? found : [found];
  }

  get<K extends Kind>(kind: K, id: string): Things[K] | undefined {
    return this.lookups[kind](id);
  }

  countOf(kind: Kind): number {
    return this.counts.get(kind) ?? 0;
  }

  usesOf(kind: Kind, id: string): number {
    return this.uses.get(`${kind} ${id}`) ?? 0;
  }

  userOf(kind: Kind, id: string, but: ReadonlySet<string>): string | undefined {
    for (const { kind: of, id: by, thing } of this.things()) {
      if (but.has(`${of} ${by}`)) continue;
      if (referencesOf(of, thing).some((to) => to.kind === kind && to.id === id)) return `${of} ${by}`;
    }
    return undefined;
  }

  *things(): Iterable<NamedThing> {
    for (const kind of KINDS) for (const thing of this.listOf(kind)) yield { kind, id: idOf(kind, thing), thing };
  }

  /** The things of one kind. */
  listOf(kind: Kind): Iterable<Thing> {
    switch (kind) {
      case 'farm':
        return this.farms.values();
      case 'field':
        return [...this.fields.values()].flatMap((ofFarm) => [...ofFarm.values()]);
      case 'sensor':
        return this.sensors;
      case 'metric':
        return this.metrics.values();
      case 'user':
        return this.users.values();
      case 'source':
        return this.sources.values();
      case 'setting':
        return this.settings.values();
      case 'codec':
        return this.codecs.values();
      case 'mapping':
        return this.mappings.all();
    }
  }

  /**
   * What `edits` change. Nothing is changed by this. Throws RegistryConflict when a thing is not what its editor saw, and
   * RegistryInvalid when the result would be no registry.
   */
  check(edits: readonly Edit[]): readonly Change[] {
    const changes = changesOf(this, edits);
    verify(this, changes);
    return changes;
  }

  /** Puts checked changes into force. */
  apply(changes: readonly Change[]): void {
    for (const change of changes) this.takeOut(change);
    for (const change of changes) this.putIn(change);
    const metrics = changes.flatMap((change) => (change.kind === 'metric' ? [change] : []));
    if (metrics.length > 0) this.metrics = changed(this.metrics, metrics);
    for (const { kind, id, after } of changes) {
      if (kind !== 'farm' || after) continue;
      this.byFarm.delete(id);
      this.fields.delete(id);
      this.listed.delete(id);
    }
  }

  /** Takes what was before out of the indexes. What is replaced keeps its place in the lists. */
  private takeOut(change: Change): void {
    const { kind, id, before } = change;
    if (before === undefined) return;
    this.counts.set(kind, this.countOf(kind) - 1);
    this.sealed.delete(`${kind} ${id}`);
    for (const to of referencesOf(kind, before)) this.use(`${to.kind} ${to.id}`, -1);
    if (change.kind !== 'sensor') return;
    if (change.before?.secret !== undefined) this.sensorsBySecret.delete(change.before.secret);
    if (change.before?.token !== undefined) this.sensorsByToken.delete(change.before.token);
  }

  private putIn(change: Change): void {
    const { kind, id, after } = change;
    if (after !== undefined) {
      this.counts.set(kind, this.countOf(kind) + 1);
      for (const to of referencesOf(kind, after)) this.use(`${to.kind} ${to.id}`, 1);
      const sealed = sealedIn(kind, id, after);
      if (sealed.length > 0) this.sealed.set(`${kind} ${id}`, sealed);
    }
    switch (change.kind) {
      case 'farm':
        put(this.farms, id, change.after);
        inner(this.byFarm, id);
        inner(this.fields, id);
        break;
      case 'field':
        put(inner(this.fields, farmOf(id)), inFarm(id), change.after);
        break;
      case 'sensor':
        this.putSensor(change);
        break;
      case 'metric':
        // All of them together, in `apply`.
        break;
      case 'user':
        put(this.users, id, change.after);
        break;
      case 'source':
        put(this.sources, id, change.after);
        break;
      case 'setting':
        put(this.settings, id, change.after);
        this.rates = ratesOf(this.settings.get('rates'));
        break;
      case 'codec':
        put(this.codecs, id, change.after);
        break;
      case 'mapping':
        this.mappings.set(id, change.after);
    }
  }

  private putSensor({ id, after }: ChangeOf<'sensor'>): void {
    const farm = farmOf(id);
    put(inner(this.byFarm, farm), inFarm(id), after);
    this.listed.delete(farm);
    this.euis.put(farm, inFarm(id), after !== undefined);
    const alike = this.sensorsWithId(inFarm(id));
    // Told by its farm: what the change says of before is a copy, where it came from another thread.
    const isKnown = alike.some((one) => one.farm === farm);
    const next = isKnown
      ? alike.flatMap((one) => (one.farm === farm ? (after ?? []) : one))
      : [...alike, ...(after ? [after] : [])];
    const [first] = next;
    put(this.byId, inFarm(id), next.length > 1 ? next : first);
    if (after?.secret !== undefined) this.sensorsBySecret.set(after.secret, after);
    if (after?.token !== undefined) this.sensorsByToken.set(after.token, after);
  }

  private use(key: string, by: number): void {
    const count = (this.uses.get(key) ?? 0) + by;
    put(this.uses, key, count > 0 ? count : undefined);
  }
}

function isList(found: Sensor | readonly Sensor[]): found is readonly Sensor[] {
  return Array.isArray(found);
}

/** The farm in the id of a field or sensor; neither part of it has a "/". */
function farmOf(id: string): string {
  return id.slice(0, id.indexOf('/'));
}

function inFarm(id: string): string {
  return id.slice(id.indexOf('/') + 1);
}

function within<T>(maps: ReadonlyMap<string, ReadonlyMap<string, T>>, id: string): T | undefined {
  return maps.get(farmOf(id))?.get(inFarm(id));
}

function inner<T>(maps: Map<string, Map<string, T>>, farm: string): Map<string, T> {
  const found = maps.get(farm) ?? new Map<string, T>();
  maps.set(farm, found);
  return found;
}

function put<T>(map: Map<string, T>, id: string, value: T | undefined): void {
  if (value === undefined) map.delete(id);
  else map.set(id, value);
}

function changed(
  before: ReadonlyMap<string, Metric>,
  changes: readonly ChangeOf<'metric'>[],
): ReadonlyMap<string, Metric> {
  const metrics = new Map(before);
  for (const { id, after } of changes) put(metrics, id, after);
  return metrics;
}

function ratesOf(setting: RegistrySetting | undefined): Rates {
  if (!setting) return {};
  const { id: _, ...rates } = setting;
  return rates;
}
