/** Of more than so many, the rest is not named. */
const MOST_NAMED = 100;
const SEALED = 'sealed:';

interface KeyedSensors {
  readonly sensors: readonly { readonly farm: string; readonly id: string; readonly token?: string | undefined }[];
}

/**
 * What in a registry is of no use without LOAM_SECRET_KEY, by name: the tokens of sensors, and every value that begins
 * with `sealed:`.
 */
export function keyedNames(file: KeyedSensors): string[] {
  const names: string[] = [];
  for (const { farm, id, token } of file.sensors) {
    if (token !== undefined && names.length < MOST_NAMED) names.push(`the token of ${farm}/${id}`);
  }
  addSealed(file, '', names);
  return names;
}

function addSealed(value: unknown, path: string, names: string[]): void {
  if (names.length >= MOST_NAMED) return;
  if (typeof value === 'string' && value.startsWith(SEALED)) names.push(path);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) addSealed(inner, path === '' ? key : `${path}.${key}`, names);
}
