import { z } from 'zod';
import { isSealed } from '../../core/secret-key.ts';

/** The schemas that `sealed` has made. */
const made = new WeakSet<object>();

/**
 * A secret that must be read back, at the top of a thing: it is kept as `sealed:…`, encrypted with LOAM_SECRET_KEY for
 * its kind, id and key, and may be left out.
 */
export function sealed() {
  const schema = z.string().refine(isSealed, 'not sealed: make it with `loam secrets seal`').optional();
  made.add(schema);
  return schema;
}

/** The keys of an object's schema whose values are sealed. */
export function sealedKeysOf(shape: Readonly<Record<string, object>>): string[] {
  return Object.entries(shape).flatMap(([key, schema]) => (made.has(schema) ? [key] : []));
}
