import type { MappingTable } from '../mappings/table.ts';
import type { Rates } from '../rate.ts';
import type { KeyedValue } from './keyed.ts';
import type { Source } from './sources.ts';
import {
  EVERY_FARM,
  type Farm,
  type Field,
  type Kind,
  type Metric,
  type NamedThing,
  type RegistryCodec,
  type Role,
  type Sensor,
  type Things,
  type User,
} from './things.ts';

/**
 * What is known of farms, sensors and people now. It is edited in place: whoever keeps something made from it watches the
 * changes (`RegistryView.watch`). The things in it never change; an edit puts another one in their place.
 */
export interface Registry {
  readonly farms: ReadonlyMap<string, Farm>;
  /** By farm, then by field id. */
  readonly fields: ReadonlyMap<string, ReadonlyMap<string, Field>>;
  readonly sensorCount: number;
  /** The sensors of all farms, farm by farm. The list is made at each call. */
  readonly sensors: readonly Sensor[];
  /** A farm's sensors; undefined when there is no such farm. The list is another one after each change of these. */
  readonly sensorsOfFarm: { get(farm: string): readonly Sensor[] | undefined };
  /** The farm's sensor with this id. An id is unique within its farm only. */
  sensor(farm: string, id: string): Sensor | undefined;
  /** The id of the farm's sensor that `id` is, as the registry spells it (an EUI may be spelt otherwise); undefined when nobody registered it. */
  registered(farm: string, id: string): string | undefined;
  /** The sensors of all farms that have this id. Only for who signs in and did not say in which farm. */
  sensorsWithId(id: string): readonly Sensor[];
  /** By SHA-256 of the secret, for sensors that send nothing but their secret. */
  readonly sensorsBySecret: ReadonlyMap<string, Sensor>;
  /** By HMAC of the token, likewise. */
  readonly sensorsByToken: ReadonlyMap<string, Sensor>;
  /** What is of no use without LOAM_SECRET_KEY, by name: tokens, and what is sealed; at most 100. */
  readonly keyed: readonly string[];
  /** All of that. */
  keyedValues(): Iterable<KeyedValue>;
  /** The rates of sensors and bridges that have none of their own. */
  readonly rates: Rates;
  /** It is another map after each change of a metric. */
  readonly metrics: ReadonlyMap<string, Metric>;
  readonly users: ReadonlyMap<string, User>;
  /** Other MQTT brokers that readings are taken from. */
  readonly sources: ReadonlyMap<string, Source>;
  readonly codecs: ReadonlyMap<string, RegistryCodec>;
  /** What foreign topics mean, farm by farm. */
  readonly mappings: Pick<MappingTable, 'find' | 'ofFarm' | 'all'>;
  /** Any thing, by its kind and id. */
  get<K extends Kind>(kind: K, id: string): Things[K] | undefined;
  /** Every thing, each after those that it names; of a kind in the order in which they came. */
  things(): Iterable<NamedThing>;
}

/** A thing of one kind that has changed, as it was and as it is; undefined where it was or is not there. `id` as `idOf` says. */
export interface ChangeOf<K extends Kind> {
  readonly kind: K;
  readonly id: string;
  readonly before: Things[K] | undefined;
  readonly after: Things[K] | undefined;
}
/** A thing of any kind that has changed. */
export type Change = { readonly [K in Kind]: ChangeOf<K> }[Kind];

/** One thing that is to change. */
export interface Edit {
  readonly kind: Kind;
  readonly id: string;
  /** The version that the editor saw; null when there was none. Left out: whatever it is now. */
  readonly seen?: string | null | undefined;
  /** The thing as it is to be; null removes it. It is checked when the edit is made. */
  readonly value: unknown;
}

/** What an edit did: the version of each thing that it named, undefined for one that is not there any more. */
export interface Applied {
  readonly versions: readonly (string | undefined)[];
}

/** The registry in force, for roles that read it. */
export interface RegistryView {
  current(): Registry;
  /** Calls `listener` with every change, after `current()` has it; returns a function to end that. */
  watch(listener: (changes: readonly Change[]) => void): () => void;
}

/** Changes the registry. */
export interface RegistryEditor {
  /**
   * Makes all of the edits or none of them, in the name of `who`. Resolves when they are kept, and in force in this
   * process. Rejects with RegistryConflict when a thing is not what its editor saw, RegistryInvalid when the result
   * would be no registry, and RegistryUnavailable when it cannot be edited now.
   */
  apply(edits: readonly Edit[], who: string): Promise<Applied>;
}

/** The role that a user has on a farm, or undefined. */
export function roleOn(user: User, farm: string): Role | undefined {
  // A farm id may be the name of something that every object inherits, such as `constructor`.
  return Object.hasOwn(user.farms, farm) ? user.farms[farm] : user.farms[EVERY_FARM];
}

/** Whether a user administers every farm, and so the whole installation. */
export function administersAll(user: User): boolean {
  return user.farms[EVERY_FARM] === 'admin';
}
