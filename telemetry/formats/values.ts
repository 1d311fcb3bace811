import { MAX_METRICS_PER_READING, MAX_METRICS_PER_SENSOR } from '../reading.ts';
import type { MetricRule, NameProblem, SensorRules } from '../sensor-rules.ts';
import { type Conversion, conversion, convert, isUnit } from '../units.ts';
import { child, kind, quote, type Refusals } from './decoded.ts';

/**
 * Gathers the values of one reading. The sensor's rules give each its metric and unit, or it is refused alone. Of two
 * names that mean one metric the first is kept. Only the first 64 values are kept.
 */
export class Values {
  private readonly values: Record<string, number> = {};
  private readonly rules: SensorRules;
  private readonly refusals: Refusals;
  private readonly path: string;
  private taken = 0;

  /** `path` is the reading's place in the payload. */
  constructor(rules: SensorRules, refusals: Refusals, path: string) {
    this.rules = rules;
    this.refusals = refusals;
    this.path = path;
  }

  /** The values, or undefined when there is not one good value. */
  get result(): Record<string, number> | undefined {
    return this.taken > 0 ? this.values : undefined;
  }

  /** The values so far. Those that are added later appear in the same object. */
  get live(): Readonly<Record<string, number>> {
    return this.values;
  }

  /**
   * Takes one value, in `unit` where it comes with one. False when no more can be taken. `place` is its place in the
   * payload. `isOfText`: number and unit were found in a text, so a unit that Loam does not know may be just a word.
   */
  add(name: string, value: number, unit: string | undefined, place: () => string, isOfText = false): boolean {
    if (this.taken === MAX_METRICS_PER_READING) {
      const explanation = `only the first ${MAX_METRICS_PER_READING} values of a reading are taken`;
      this.refusals.add('too_many_metrics', this.path, explanation);
      return false;
    }
    const rule = this.rules.ruleOf(name);
    if (typeof rule === 'string') this.refuseName(rule, name, place());
    else if (Object.hasOwn(this.values, rule.metric)) {
      this.refusals.add('double_name', place(), `another name in this reading is "${rule.metric}" already`);
    } else this.take(rule, value, unit, place, isOfText);
    return true;
  }

  private take(
    rule: MetricRule,
    given: number,
    unit: string | undefined,
    place: () => string,
    isOfText: boolean,
  ): void {
    const { metric, plausible } = rule;
    const change = changeOf(rule, unit, isOfText);
    if (change === undefined) {
      const wanted =
        rule.unit === '' ? 'is no unit that Loam knows' : `cannot be made ${rule.unit}, the unit of ${metric}`;
      const explanation = `${quote(unit ?? '')} ${wanted}`;
      this.refusals.add('wrong_unit', place(), explanation);
      return;
    }
    const value = convert(given, change);
    if (!Number.isFinite(value)) this.refusals.add('not_finite', place(), 'the number is too large');
    else if (plausible && (value < plausible[0] || value > plausible[1])) {
      const [least, most] = plausible;
      const explanation = `${value} ${rule.unit} is no ${metric}: that is from ${least} to ${most}`;
      this.refusals.add('implausible', place(), explanation);
    } else {
      this.values[metric] = value;
      this.taken++;
    }
  }

  private refuseName(problem: NameProblem, name: string, place: string): void {
    const isOver = problem === 'too_many_names' || problem === 'too_many_of_farm';
    this.refusals.add(isOver ? 'too_many_metrics' : problem, place, nameProblem(problem, name));
  }
}

/**
 * The conversion to the metric's unit; undefined when there is none. A metric without a unit takes a value as it is,
 * unless its unit is an unknown one from a text.
 */
function changeOf(rule: MetricRule, unit: string | undefined, isOfText: boolean): Conversion | undefined {
  if (unit === undefined) return rule.usual;
  if (rule.unit !== '') return conversion(unit, rule.unit);
  return isOfText && !isUnit(unit) ? undefined : rule.usual;
}

function nameProblem(problem: NameProblem, name: string): string {
  switch (problem) {
    case 'bad_name':
      return `${quote(name)} cannot be made a metric: 1 to 64 of a-z, 0-9 and _`;
    case 'reserved_name':
      return `${quote(name)} cannot be a metric`;
    case 'too_many_names':
      return `the sensor has sent ${MAX_METRICS_PER_SENSOR} other metrics already, the most that one may have`;
    case 'too_many_of_farm':
      return `${quote(name)} would be one metric of the farm’s own too many: its quota of names is used up`;
  }
}

/**
 * The values of one reading from the keys of `given` (all but `except`), or undefined when there is not one good value.
 * A value is a finite number or a boolean, in the metric's unit.
 */
export function takeValues(
  given: Readonly<Record<string, unknown>>,
  path: string,
  rules: SensorRules,
  refusals: Refusals,
  except?: string,
): Record<string, number> | undefined {
  const values = new Values(rules, refusals, path);
  let seen = 0;
  for (const key of Object.keys(given)) {
    if (key === except) continue;
    seen++;
    const told = given[key];
    const known = typeof told === 'string' ? rules.textOf(key, told) : undefined;
    const value = known ?? takeNumber(told, key, path, refusals);
    if (value !== undefined && !values.add(key, value, undefined, () => child(path, key))) break;
  }
  if (seen === 0) refusals.add('no_values', path, 'there is no value in it');
  return values.result;
}

function takeNumber(value: unknown, key: string, path: string, refusals: Refusals): number | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  // JSON has no infinity, but 1e999 becomes one.
  if (typeof value === 'number') refusals.add('not_finite', child(path, key), 'the number is too large');
  else refusals.add('not_a_number', child(path, key), `${kind(value)} is neither a number nor a boolean`);
  return undefined;
}
