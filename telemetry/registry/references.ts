import { EVERY_FARM, type Kind, type Things, UNASSIGNED } from './things.ts';

/** The kinds of thing that others name. */
export type NamedKind = 'farm' | 'field' | 'codec';

/** One thing that another names, and where in that other. It cannot be removed while it is named. */
export interface Reference {
  readonly kind: NamedKind;
  readonly id: string;
  readonly path: readonly string[];
  /** What is wrong when it is not there; absent when it need not be. */
  readonly missing?: string;
}

const REFERENCES: { readonly [K in Kind]?: (thing: Things[K]) => Reference[] } = {
  field: ({ farm }) => [toFarm(farm, ['farm'])],
  sensor: ({ farm, field, codec }) => [
    toFarm(farm, ['farm']),
    ...(field === UNASSIGNED ? [] : [toField(farm, field)]),
    ...toCodec(codec),
  ],
  user: ({ farms }) =>
    Object.keys(farms)
      .filter((farm) => farm !== EVERY_FARM)
      .map((farm) => toFarm(farm, ['farms', farm])),
  source: ({ farm }) => [toFarm(farm, ['farm'])],
  mapping: ({ farm, codec }) => [toFarm(farm, ['farm']), ...toCodec(codec)],
};

/** Everything that a thing names. */
export function referencesOf<K extends Kind>(kind: K, thing: Things[K] | undefined): Reference[] {
  return (thing && REFERENCES[kind]?.(thing)) ?? [];
}

function toFarm(id: string, path: readonly string[]): Reference {
  return { kind: 'farm', id, path, missing: `there is no farm "${id}"` };
}

/** It may be a file beside the registry, of which the registry knows nothing. */
function toCodec(id: string | undefined): Reference[] {
  return id === undefined ? [] : [{ kind: 'codec', id, path: ['codec'] }];
}

function toField(farm: string, field: string): Reference {
  return { kind: 'field', id: `${farm}/${field}`, path: ['field'], missing: `farm "${farm}" has no field "${field}"` };
}
