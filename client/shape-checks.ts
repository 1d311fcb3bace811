/** A value from outside is not of the expected shape. `path` is its place in the message or answer. */
export class Unexpected extends Error {
  readonly path: string;

  constructor(path: string, wanted: string) {
    super(`${path || 'message'} is not ${wanted}`);
    this.name = 'Unexpected';
    this.path = path;
  }
}

/** Each function below returns its argument as the type that its name says, or throws Unexpected. */
export function record(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw new Unexpected(path, 'an object');
  return value;
}

export function list(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Unexpected(path, 'a list');
  return value;
}

export function listOf<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[] {
  return list(value, path).map((v, i) => item(v, `${path}[${i}]`));
}

export function text(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new Unexpected(path, 'a text');
  return value;
}

export function finite(value: unknown, path: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Unexpected(path, 'a number');
  return value;
}

export function flag(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw new Unexpected(path, 'true or false');
  return value;
}

export function oneOf<T extends string>(value: unknown, path: string, allowed: readonly T[]): T {
  const found = allowed.find((a) => a === value);
  if (found === undefined) throw new Unexpected(path, `one of ${allowed.join(', ')}`);
  return found;
}

/** Undefined for an absent or null value, otherwise what `read` makes of it. */
export function optional<T>(value: unknown, path: string, read: (value: unknown, path: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value, path);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
