import { MAX_METRICS_PER_READING, RESERVED_METRICS } from '../reading.ts';
import { child, quote, type Refusals } from './decoded.ts';
import { metricName } from './metric-name.ts';

/**
 * The values of one reading from the keys of `given` (all but `except`), or undefined when there is not one good value.
 * A bad value is refused alone. Of two names that fold to one metric the first stands, and so do the first 64 values.
 */
export function takeValues(
  given: Readonly<Record<string, unknown>>,
  path: string,
  refusals: Refusals,
  except?: string,
): Record<string, number> | undefined {
  const values: Record<string, number> = {};
  let taken = 0;
  let seen = 0;
  for (const key of Object.keys(given)) {
    if (key === except) continue;
    seen++;
    if (taken === MAX_METRICS_PER_READING) {
      refusals.add('too_many_metrics', path, `only the first ${MAX_METRICS_PER_READING} values of a reading are taken`);
      break;
    }
    const name = takeName(key, values, path, refusals);
    if (name === undefined) continue;
    const value = takeNumber(given[key], key, path, refusals);
    if (value === undefined) continue;
    values[name] = value;
    taken++;
  }
  if (seen === 0) refusals.add('no_values', path, 'there is no value in it');
  return taken > 0 ? values : undefined;
}

function takeName(
  key: string,
  values: Readonly<Record<string, number>>,
  path: string,
  refusals: Refusals,
): string | undefined {
  const name = metricName(key);
  if (name === undefined) {
    refusals.add('bad_name', child(path, key), `${quote(key)} cannot be made a metric: 1 to 64 of a-z, 0-9 and _`);
    return undefined;
  }
  if (RESERVED_METRICS.has(name)) {
    refusals.add('reserved_name', child(path, key), `"${name}" cannot be a metric`);
    return undefined;
  }
  if (Object.hasOwn(values, name)) {
    refusals.add('double_name', child(path, key), `another name in this reading is "${name}" already`);
    return undefined;
  }
  return name;
}

function takeNumber(value: unknown, key: string, path: string, refusals: Refusals): number | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'number') {
    refusals.add('not_a_number', child(path, key), `${kind(value)} is neither a number nor a boolean`);
    return undefined;
  }
  // JSON has no infinity, but 1e999 becomes one.
  if (!Number.isFinite(value)) {
    refusals.add('not_finite', child(path, key), 'the number is too large');
    return undefined;
  }
  return value;
}

/** What a JSON value is, in a word. */
export function kind(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return `the text ${quote(value)}`;
  return `the ${typeof value} ${String(value)}`;
}
