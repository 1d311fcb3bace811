import type { SensorRules } from '../sensor-rules.ts';
import { child, quote, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { MAX_GIVEN } from './metric-name.ts';
import { quantityIn } from './quantity.ts';
import { Values } from './values.ts';

/** How deep the objects of other systems are followed, and how many values of one reading are looked at. */
const MOST_DEPTH = 8;
const MOST_LEAVES = 1_000;

/**
 * The values in an object of another system, however deep: `{"soil": {"ec": 1}}` is `soil_ec`. Values are numbers,
 * booleans, texts that are a number with or without a unit, and `{"value": 1, "unit": "V"}`. Other texts and nulls are
 * no measurements: they are ignored and counted. A quantity in an unknown unit is refused.
 */
export class Leaves {
  skipped = 0;
  private readonly values: Values;
  private readonly rules: SensorRules;
  private readonly refusals: Refusals;
  private left = MOST_LEAVES;

  constructor(rules: SensorRules, refusals: Refusals, path: string) {
    this.values = new Values(rules, refusals, path);
    this.rules = rules;
    this.refusals = refusals;
  }

  get result(): Record<string, number> | undefined {
    return this.values.result;
  }

  /** The values so far. Those that are added later appear in the same object. Empty while there is no good value. */
  get live(): Readonly<Record<string, number>> {
    return this.values.live;
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
      this.take(joined(name, key), value, inner, depth);
    }
  }

  private take(name: string, value: unknown, path: string, depth: number): void {
    if (typeof value === 'object' && value !== null) {
      this.takeObject(name, value, path, depth);
      return;
    }
    this.left -= 1;
    if (this.left === 0)
      this.refusals.add('too_many_metrics', path, `only the first ${MOST_LEAVES} values are looked at`);
    if (typeof value === 'number') this.add(name, value, undefined, path);
    else if (typeof value === 'boolean') this.add(name, value ? 1 : 0, undefined, path);
    else this.takeText(name, value, undefined, path);
  }

  private takeObject(name: string, value: object, path: string, depth: number): void {
    const measured = measuredIn(value);
    if (measured) {
      const { given, unit, called = name } = measured;
      this.left -= 1;
      if (typeof given === 'number') this.add(called, given, unit, path);
      else this.takeText(called, given, unit, path);
    } else if (depth === MOST_DEPTH) {
      this.refusals.add('not_a_number', path, `objects are followed ${MOST_DEPTH} deep, no deeper`);
      this.left -= 1;
    } else this.takeAll(value, name, path, undefined, depth + 1);
  }

  private takeText(name: string, value: unknown, unit: string | undefined, path: string): void {
    const known = typeof value === 'string' ? this.rules.textOf(name, value) : undefined;
    const quantity = known === undefined && typeof value === 'string' ? quantityIn(value) : undefined;
    if (known !== undefined) this.add(name, known, undefined, path);
    else if (quantity === undefined) this.skipped += 1;
    else if (quantity === 'comma') {
      const explanation = `the text ${quote(String(value))} has a comma, or its digits are grouped: decimals begin with a point, and nothing else stands in a number`;
      this.refusals.add('not_a_number', path, explanation);
    } else if (quantity.unit === undefined) this.add(name, quantity.number, unit, path);
    else this.add(name, quantity.number, quantity.unit, path, true);
  }

  private add(name: string, value: number, unit: string | undefined, path: string, isOfText = false): void {
    if (!Number.isFinite(value)) this.refusals.add('not_finite', path, 'the number is too large');
    else if (!this.values.add(name, value, unit, () => path, isOfText)) this.left = 0;
  }
}

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
  if (measurementValue !== undefined && (typeof measurementId === 'string' || typeof measurementId === 'number')) {
    return { given: measurementValue, called: `measurement_${measurementId}` };
  }
  const { value: given, unit = value.units ?? value.uom ?? value.Unit } = value;
  if (given === undefined || typeof given === 'object') return undefined;
  // An unknown unit must not count as the metric's own: a metric that has a unit refuses it.
  return typeof unit === 'string' && !/^(none|-)?$/i.test(unit.trim()) ? { given, unit } : { given };
}
