import type { SensorRules } from '../rules.ts';
import { isUnit } from '../units.ts';
import { child, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { Values } from './values.ts';

/** How deep other systems' objects are followed, and how many values of one are looked at. */
const MOST_DEPTH = 8;
const MOST_LEAVES = 1_000;

/** A number, and perhaps its unit, as people write them: `30.11 °C`, `-3`, `1.2e3 lx`. */
const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\D.{0,31})?$/u;

/**
 * The values in an object of another system, however deep: `{"soil": {"ec": 1}}` is `soil_ec`.
 * Numbers and booleans count, texts that are a number with or without a unit, and `{"value": 1, "unit": "V"}`.
 * Other texts and nulls are no measurements: they are passed over and counted.
 */
export class Leaves {
  skipped = 0;
  private readonly values: Values;
  private readonly refusals: Refusals;
  private left = MOST_LEAVES;

  constructor(rules: SensorRules, refusals: Refusals, path: string) {
    this.values = new Values(rules, refusals, path);
    this.refusals = refusals;
  }

  get result(): Record<string, number> | undefined {
    return this.values.result;
  }

  /** The values so far, and those that are still to come: empty while there is not one good value. */
  get live(): Readonly<Record<string, number>> {
    return this.values.live;
  }

  /** Takes every value of `given`, an object or an array; `name` is what stands before their keys. `except` are keys at the top that are none. */
  takeAll(given: object, name: string, path: string, except?: ReadonlySet<string>, depth = 0): void {
    for (const [key, value] of Object.entries(given)) {
      if (this.left <= 0) return;
      if (except?.has(key)) continue;
      const inner = Array.isArray(given) ? `${path}[${key}]` : child(path, key);
      this.take(name === '' ? key : `${name}_${key}`, value, inner, depth);
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
    const quantity = quantityOf(value);
    if (quantity) {
      const { given, unit, called = name } = quantity;
      this.left -= 1;
      if (typeof given === 'number') this.add(called, given, unit, path);
      else this.takeText(called, given, unit, path);
    } else if (depth === MOST_DEPTH) {
      this.refusals.add('not_a_number', path, `objects are followed ${MOST_DEPTH} deep, no deeper`);
      this.left -= 1;
    } else this.takeAll(value, name, path, undefined, depth + 1);
  }

  private takeText(name: string, value: unknown, unit: string | undefined, path: string): void {
    const [, number, symbol] = typeof value === 'string' ? (QUANTITY.exec(value.trim()) ?? []) : [];
    // "12 o'clock" is a text that begins with a number.
    if (number === undefined || (symbol !== undefined && !isUnit(symbol))) this.skipped += 1;
    else this.add(name, Number(number), symbol ?? unit, path);
  }

  private add(name: string, value: number, unit: string | undefined, path: string): void {
    if (!Number.isFinite(value)) this.refusals.add('not_finite', path, 'the number is too large');
    else if (!this.values.add(name, value, unit, () => path)) this.left = 0;
  }
}

interface Quantity {
  readonly given: unknown;
  readonly unit?: string | undefined;
  readonly called?: string;
}

/** What makers write instead of a number: `{"value": 3, "unit": "V"}`, or SenseCAP's `{"measurementId": "4102", "measurementValue": 21.5}`. */
function quantityOf(value: object): Quantity | undefined {
  if (!isObject(value)) return undefined;
  const { measurementId, measurementValue } = value;
  if (measurementValue !== undefined && (typeof measurementId === 'string' || typeof measurementId === 'number')) {
    return { given: measurementValue, called: `measurement_${measurementId}` };
  }
  const { value: given, unit } = value;
  if (given === undefined || typeof given === 'object') return undefined;
  // A unit that nobody knows must not pass for the metric's own: it is refused where the metric has one.
  return typeof unit === 'string' && !/^(none|-)?$/i.test(unit.trim()) ? { given, unit } : { given };
}
