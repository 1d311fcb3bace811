import { MAX_METRICS_PER_READING, MAX_METRICS_PER_SENSOR } from '../reading.ts';
import type { MetricRule, NameProblem, SensorRules } from '../sensor-rules.ts';
import { type Conversion, conversion, convert, groupUnit, UNCHANGED } from '../units.ts';
import { child, kind, quote, type Refusals } from './decoded.ts';
import { metricName } from './metric-name.ts';
import { quantityIn } from './quantity.ts';
import { isTimeBeside } from './times.ts';

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
  /** Whether all come from one object. Of several, the same name again is another measurement, not another spelling. */
  private isOfOne = true;

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

  /** From now on values of another object are added. */
  joinedByOthers(): void {
    this.isOfOne = false;
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
      const explanation = `another name in this reading is "${rule.metric}" already`;
      this.refusals.add('double_name', place(), explanation, this.isOfOne ? rule.metric : undefined);
    } else this.take(rule, value, unit, place, isOfText);
    return true;
  }

  /**
   * Takes the number that the registry gives a text, or the quantity in it, or refuses it; `unit` is the one that stands
   * beside the text. Undefined when there is neither, otherwise as `add`.
   */
  addText(name: string, text: string, unit: string | undefined, place: () => string): boolean | undefined {
    const known = this.rules.textOf(name, text);
    if (known !== undefined) return this.add(name, known, undefined, place);
    const quantity = quantityIn(text);
    if (quantity === undefined) return undefined;
    if (quantity === 'comma') {
      const explanation = `no number can be read from the text ${quote(text)} for certain: decimals begin with a point, digits are not grouped, and nothing but a unit stands beside a number`;
      this.refusals.add('not_a_number', place(), explanation);
      return true;
    }
    const isOfText = quantity.unit !== undefined;
    if (Number.isFinite(quantity.number)) {
      return this.add(name, quantity.number, quantity.unit ?? unit, place, isOfText);
    }
    this.refusals.add('not_finite', place(), 'the number is too large');
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
      if (rule.unit === '') this.heardUnit(rule, unit, place);
    }
  }

  /** Nobody has said in which unit the metric is kept: what came in other units before makes one series with this. */
  private heardUnit({ metric, heard, usualUnit }: MetricRule, unit: string | undefined, place: () => string): void {
    if (!heard) return;
    const now = unit === undefined ? usualUnit : keptUnit(unit);
    heard.unit ??= now;
    if (heard.unit === now) return;
    const explanation = `it is stored, but ${metric} comes in ${inWords(now)} here and came in ${inWords(heard.unit)} before: give it a unit in the registry (loam metric add ${metric} --label … --unit …)`;
    this.refusals.add('mixed_units', place(), explanation, metric);
  }

  private refuseName(problem: NameProblem, name: string, place: string): void {
    const isOver = problem === 'too_many_names' || problem === 'too_many_of_farm';
    const once = problem === 'reserved_name' ? metricName(name) : undefined;
    this.refusals.add(isOver ? 'too_many_metrics' : problem, place, nameProblem(problem, name), once);
  }
}

/**
 * The conversion to the metric's unit; undefined when there is none. A metric without a unit is kept in the first unit of
 * the group that the value's unit is of. A unit that nobody knows is taken as it is, unless it stood in a text.
 */
function changeOf(rule: MetricRule, unit: string | undefined, isOfText: boolean): Conversion | undefined {
  if (unit === undefined) return rule.usual;
  if (rule.unit !== '') return conversion(unit, rule.unit);
  const first = groupUnit(unit);
  if (first !== undefined) return conversion(unit, first);
  return isOfText ? undefined : UNCHANGED;
}

/** Units that are as good as none: `7.1 pH` and `7.1` are the same. */
const NONE: ReadonlySet<string> = new Set(['pH', 'count']);

function keptUnit(unit: string): string {
  const kept = groupUnit(unit) ?? unit;
  return NONE.has(kept) ? '' : kept;
}

function inWords(unit: string): string {
  return unit === '' ? 'no unit' : quote(unit);
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

/** The values of one reading; undefined when there is not one good value. `skipped` keys have other times, and no values. */
export interface TakenValues {
  readonly values: Record<string, number> | undefined;
  readonly skipped: number;
}

/**
 * The values of one reading from the keys of `given` (all but `except`). A value is a finite number or a boolean in the
 * metric's unit, or a text with a number and maybe a unit.
 */
export function takeValues(
  given: Readonly<Record<string, unknown>>,
  path: string,
  rules: SensorRules,
  refusals: Refusals,
  except?: string,
): TakenValues {
  const values = new Values(rules, refusals, path);
  let seen = 0;
  let skipped = 0;
  for (const key of Object.keys(given)) {
    if (key === except) continue;
    const value = given[key];
    seen++;
    if (isTimeBeside(key, value, rules.zone)) skipped++;
    else if (!takeOne(values, key, value, path, refusals)) break;
  }
  if (seen === skipped) refusals.add('no_values', path, 'there is no value in it');
  return { values: values.result, skipped };
}

/** False when no more values can be taken. */
function takeOne(values: Values, key: string, value: unknown, path: string, refusals: Refusals): boolean {
  if (typeof value === 'number' && Number.isFinite(value)) {
    return values.add(key, value, undefined, () => child(path, key));
  }
  if (typeof value === 'boolean') return values.add(key, value ? 1 : 0, undefined, () => child(path, key));
  const taken = typeof value === 'string' ? values.addText(key, value, undefined, () => child(path, key)) : undefined;
  if (taken !== undefined) return taken;
  // JSON has no infinity, but 1e999 becomes one.
  if (typeof value === 'number') refusals.add('not_finite', child(path, key), 'the number is too large');
  else refusals.add('not_a_number', child(path, key), `${kind(value)} is neither a number nor a boolean`);
  return true;
}
