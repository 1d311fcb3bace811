import type { SensorRules } from '../sensor-rules.ts';
import { child, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { MAX_GIVEN } from './metric-name.ts';
import { isTimeBeside } from './times.ts';
import { Values } from './values.ts';

/** How deep the objects of other systems are followed, and how many values of one reading are looked at. */
const MOST_DEPTH = 8;
const MOST_LEAVES = 1_000;

/**
 * The values in an object of another system, however deep: `{"soil": {"ec": 1}}` is `soil_ec`. Values are numbers,
 * booleans, texts that are a number with or without a unit, and `{"value": 1, "unit": "V"}`. Other texts, nulls and
 * times are no measurements: they are ignored and counted. A quantity in an unknown unit is refused.
 */
export class Leaves {
  skipped = 0;
  private readonly values: Values;
  private readonly refusals: Refusals;
  private readonly zone: string;
  private left = MOST_LEAVES;

  constructor(rules: SensorRules, refusals: Refusals, path: string) {
    this.values = new Values(rules, refusals, path);
    this.refusals = refusals;
    this.zone = rules.zone;
  }

  get result(): Record<string, number> | undefined {
    return this.values.result;
  }

  /** The values so far. Those that are added later appear in the same object. Empty while there is no good value. */
  get live(): Readonly<Record<string, number>> {
    return this.values.live;
  }

  /** From now on values of another object are added. */
  joinedByOthers(): void {
    this.values.joinedByOthers();
  }

  /**
   * Takes every value of `given`, an object or an array. `name` is their names' prefix, `except` keys at the top to
   * skip.
   */
  takeAll(given: object, name: string, path: string, except?: ReadonlySet<string>, depth = 0): void {
    for (const [key, value] of Object.entries(given)) {
      if (this.left <= 0) return;
      if (except?.has(key)) continue;
      const inner = Array.isArray(given) ? `${path}[${key}]` : child(path, key);
      if (isTimeBeside(key, value, this.zone)) this.skipped += 1;
      else this.take(joined(name, key), value, inner, depth);
    }
  }

  private take(name: string, value: unknown, path: string, depth: number, unit?: string): void {
    if (typeof value === 'object' && value !== null) {
      this.takeObject(name, value, path, depth);
      return;
    }
    this.spend(path);
    if (typeof value === 'number') this.add(name, value, unit, path);
    else if (typeof value === 'boolean') this.add(name, value ? 1 : 0, undefined, path);
    else this.takeText(name, value, unit, path);
  }

  private takeObject(name: string, value: object, path: string, depth: number): void {
    const measured = measuredIn(value);
    if (measured) {
      const { given, unit, called = name } = measured;
      this.take(called, given, path, depth, unit);
      this.takeMembers(value, called, path, unit, depth);
    } else if (depth >= MOST_DEPTH) this.tooDeep(path);
    else this.takeAll(value, name, path, undefined, depth + 1);
  }

  /** What else such an object has, as `min` and `max`. Those that are of the same kind have the same unit. */
  private takeMembers(value: object, name: string, path: string, unit: string | undefined, depth: number): void {
    for (const [key, member] of Object.entries(value)) {
      if (this.left <= 0) return;
      if (OF_MEASURED.has(key) || (typeof member === 'string' && LABELS.has(key))) continue;
      const inner = child(path, key);
      if (isTimeBeside(key, member, this.zone)) this.skipped += 1;
      else if (typeof member === 'object' && member !== null && depth >= MOST_DEPTH) this.tooDeep(inner);
      else this.take(joined(name, key), member, inner, depth + 1, OF_ITS_KIND.has(key) ? unit : undefined);
    }
  }

  private tooDeep(path: string): void {
    this.refusals.add('not_a_number', path, `objects are followed ${MOST_DEPTH} deep, no deeper`);
    this.spend(path);
  }

  private spend(path: string): void {
    this.left -= 1;
    if (this.left > 0) return;
    this.refusals.add('too_many_metrics', path, `only the first ${MOST_LEAVES} values are looked at`);
  }

  private takeText(name: string, value: unknown, unit: string | undefined, path: string): void {
    const taken = typeof value === 'string' ? this.values.addText(name, value, unit, () => path) : undefined;
    if (taken === undefined) this.skipped += 1;
    else if (!taken) this.left = 0;
  }

  private add(name: string, value: number, unit: string | undefined, path: string): void {
    if (!Number.isFinite(value)) this.refusals.add('not_finite', path, 'the number is too large');
    else if (!this.values.add(name, value, unit, () => path)) this.left = 0;
  }
}

/** What `measuredIn` reads. */
const OF_MEASURED: ReadonlySet<string> = new Set('value unit units uom Unit measurementId measurementValue'.split(' '));
/** Texts that only say what is measured. */
const LABELS: ReadonlySet<string> = new Set('displayName label name type'.split(' '));
const OF_ITS_KIND: ReadonlySet<string> = new Set(
  'min max minimum maximum avg average mean median last first previous'.split(' '),
);

/**
 * The name of what is called `key` in something called `name`. A name that is too long for a metric already stays as it
 * is: made longer for each of a thousand values, it would be copied as often.
 */
function joined(name: string, key: string): string {
  if (name === '') return key;
  return name.length > MAX_GIVEN ? name : `${name}_${key}`;
}

interface MeasuredObject {
  readonly given: unknown;
  readonly unit?: string | undefined;
  readonly called?: string;
}

/** What makers write instead of a number: `{"value": 3, "unit": "V"}`, or SenseCAP's `{"measurementId": "4102", "measurementValue": 21.5}`. */
function measuredIn(value: object): MeasuredObject | undefined {
  if (!isObject(value)) return undefined;
  const { measurementId, measurementValue } = value;
  const isPlain = typeof measurementValue !== 'object' || measurementValue === null;
  if (
    measurementValue !== undefined &&
    isPlain &&
    (typeof measurementId === 'string' || typeof measurementId === 'number')
  ) {
    return { given: measurementValue, called: `measurement_${measurementId}` };
  }
  const { value: given, unit = value.units ?? value.uom ?? value.Unit } = value;
  if (given === undefined || typeof given === 'object') return undefined;
  // An unknown unit must not count as the metric's own: a metric that has a unit refuses it.
  return typeof unit === 'string' && !/^(none|-)?$/i.test(unit.trim()) ? { given, unit } : { given };
}
