import type { Kind, Thing } from './things.ts';

/** Of more than so many, the rest is not named. */
export const MOST_KEYED = 100;
const SEALED = 'sealed:';

/** The name of a sensor's token, among what is of no use without LOAM_SECRET_KEY. */
export function tokenName({ farm, id }: { readonly farm: string; readonly id: string }): string {
  return `the token of ${farm}/${id}`;
}

/** The values in a thing that begin with `sealed:`, by name; at most `MOST_KEYED`. */
export function sealedNames(kind: Kind, id: string, thing: Thing): string[] {
  const names: string[] = [];
  addSealed(thing, '', `${kind} ${id}`, names);
  return names;
}

function addSealed(value: unknown, path: string, of: string, names: string[]): void {
  if (names.length >= MOST_KEYED) return;
  if (typeof value === 'string' && value.startsWith(SEALED)) names.push(`${path} of ${of}`);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) addSealed(inner, path === '' ? key : `${path}.${key}`, of, names);
}
