import { isOfOurTime, MAX_AHEAD_MS } from '../../telemetry/clock.ts';
import { Refusals } from '../../telemetry/formats/decoded.ts';
import { Doubles } from '../../telemetry/formats/doubles.ts';
import { Values } from '../../telemetry/formats/values.ts';
import { instantOfMicros, microsOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { MetricRule, NameProblem, SensorRules } from '../../telemetry/sensor-rules.ts';
import { UNCHANGED } from '../../telemetry/units.ts';

/** One line of a file: its number, the time of measurement (Unix ms, with up to three digits behind the point), and its values by the names that the caller has for them. */
export type ImportRow = readonly [line: number, ts: number, values: Readonly<Record<string, number>>];

/** What of a line was refused, and why. */
export interface RefusedRow {
  readonly line: number;
  readonly path: string;
  readonly reason: string;
  readonly explanation: string;
}

/**
 * Makes readings of the lines of a file. Names, units and ranges are those of the registry. `units` are the units of
 * the file's values, by name. A name without one is in its metric's own unit, whatever unit the sensor sends. When one
 * value of a line is bad, the others are taken. When two lines have one metric at one time, the first line's value is
 * taken. Times are rounded to whole microseconds. `lines` are the numbers of the readings' lines.
 */
export function readRows(
  rows: readonly ImportRow[],
  units: Readonly<Record<string, string>>,
  rules: SensorRules,
  now: number,
): { readings: Pick<Reading, 'ts' | 'values'>[]; lines: number[]; refused: RefusedRow[] } {
  const lines: number[] = [];
  const readings: Pick<Reading, 'ts' | 'values'>[] = [];
  const refused: RefusedRow[] = [];
  const asKept = inOwnUnits(rules);
  const doubles = new Doubles();
  for (const [line, when, given] of rows) {
    const ts = instantOfMicros(microsOf(when));
    const refusals = new Refusals();
    const values = new Values(asKept, refusals, 'time');
    if (!isOfOurTime(ts)) refusals.add('bad_time', 'time', 'not a time of the years 2000 to 2199');
    else if (ts > now + MAX_AHEAD_MS) refusals.add('future_time', 'time', 'it is yet to come');
    else {
      for (const [name, value] of Object.entries(given)) {
        const unit = Object.hasOwn(units, name) ? units[name] : undefined;
        if (!values.add(name, value, unit, () => name)) break;
      }
    }
    const { result } = values;
    const single =
      result &&
      doubles.single(ts, result, (metric, other) =>
        refusals.add('double_time', metric, `another line has another ${metric} at the same time: ${other}`),
      );
    if (single) {
      readings.push({ ts, values: single });
      lines.push(line);
    } else if (refusals.none) refusals.add('no_values', 'time', 'there is no value in it');
    for (const { path, reason, explanation } of refusals.list()) refused.push({ line, path, reason, explanation });
  }
  return { readings, lines, refused };
}

/** The same rules, without the conversion from the unit that the sensor itself sends. */
function inOwnUnits(rules: SensorRules): SensorRules {
  return {
    ...rules,
    ruleOf: (given) => withoutConversion(rules.ruleOf(given)),
    textOf: (given, told) => rules.textOf(given, told),
  };
}

function withoutConversion(rule: MetricRule | NameProblem): MetricRule | NameProblem {
  return typeof rule === 'string' ? rule : { ...rule, usual: UNCHANGED, usualUnit: rule.unit, heard: undefined };
}
