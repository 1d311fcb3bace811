import type { SealedPlace, SecretKeys } from '../../core/secret-key.ts';
import { keyIdIn } from '../../core/secret-key.ts';
import { sealedKeysOf } from './sealed.ts';
import { KINDS, type Kind, type Sensor, THING_SCHEMAS, type Thing } from './things.ts';

/** Of more than so many, the rest is not named. */
export const MOST_KEYED = 100;

/** A value in the registry that is of use with LOAM_SECRET_KEY only: a sensor's token, or what is sealed. */
export interface KeyedValue extends SealedPlace {
  readonly kind: Kind;
  readonly text: string;
}

const SEALED_KEYS: ReadonlyMap<Kind, readonly string[]> = new Map(
  KINDS.map((kind) => [kind, sealedKeysOf(THING_SCHEMAS[kind].shape)]),
);

/** The keys at which things of a kind have sealed values. */
export function sealedKeys(kind: Kind): readonly string[] {
  return SEALED_KEYS.get(kind) ?? [];
}

/** What is sealed in a thing. */
export function sealedIn(kind: Kind, id: string, thing: Thing): KeyedValue[] {
  const keys = sealedKeys(kind);
  if (keys.length === 0) return [];
  const values = new Map<string, unknown>(Object.entries(thing));
  return keys.flatMap((key) => {
    const text = values.get(key);
    return typeof text === 'string' ? [{ kind, id, key, text }] : [];
  });
}

/** A sensor's token; nothing when it has none. */
export function tokenOf({ farm, id, token }: Sensor): KeyedValue[] {
  return token === undefined ? [] : [{ kind: 'sensor', id: `${farm}/${id}`, key: 'token', text: token }];
}

/** A value as people are told it. */
export function keyedName({ kind, id, key }: SealedPlace): string {
  return key === 'token' ? `the token of ${id}` : `the ${key} of ${kind} ${id}`;
}

/**
 * Why a value is of no use with these keys; undefined when it is, or, for a token that an earlier version kept, when
 * that cannot be told.
 */
export function whyOff(value: KeyedValue, keys: SecretKeys): string | undefined {
  const id = keyIdIn(value.text);
  if (id !== undefined && !keys.has(id)) return `needs the key ${id}`;
  if (value.key === 'token') return undefined;
  try {
    keys.open(value, value.text);
    return undefined;
  } catch {
    return 'was sealed for another place, or is damaged';
  }
}
