import { EVERY_FARM, type Kind, type Things, UNASSIGNED } from './things.ts';

/** The kinds of thing that others name. */
export type NamedKind = 'farm' | 'field';

/** One thing that another names, and where in that other. */
export interface Reference {
  readonly kind: NamedKind;
  readonly id: string;
  readonly path: readonly string[];
  /** What is wrong when it is not there. */
  readonly missing: string;
}

const REFERENCES: { readonly [K in Kind]?: (thing: Things[K]) => Reference[] } = {
  field: ({ farm }) => [toFarm(farm, ['farm'])],
  sensor: ({ farm, field }) => {
    if (field === UNASSIGNED) return [toFarm(farm, ['farm'])];
    const missing = `farm "${farm}" has no field "${field}"`;
    return [toFarm(farm, ['farm']), { kind: 'field', id: `${farm}/${field}`, path: ['field'], missing }];
  },
  user: ({ farms }) =>
    Object.keys(farms)
      .filter((farm) => farm !== EVERY_FARM)
      .map((farm) => toFarm(farm, ['farms', farm])),
  source: ({ farm }) => [toFarm(farm, ['farm'])],
};

/** Everything that a thing names and that must be there. */
export function referencesOf<K extends Kind>(kind: K, thing: Things[K] | undefined): Reference[] {
  return (thing && REFERENCES[kind]?.(thing)) ?? [];
}

function toFarm(id: string, path: readonly string[]): Reference {
  return { kind: 'farm', id, path, missing: `there is no farm "${id}"` };
}
