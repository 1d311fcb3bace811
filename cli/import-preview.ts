import { localTimes } from '../telemetry/local-time.ts';
import { isOffset } from '../telemetry/logger-files/time-cells.ts';
import type { ImportPlan } from './import-plan.ts';
import type { ImportAnswer } from './import-sender.ts';
import { print } from './output.ts';

/** Rows that a preview shows. */
const MOST_SHOWN = 10;
/** Columns that a preview lists. */
const MOST_COLUMNS = 60;

/** Prints how a file is read: its form, and what its columns become. */
export function printForm({ file, written, columns, sensor, named, unitOf }: ImportPlan): void {
  const { table, encoding } = file;
  const form = table.preset === undefined ? '' : `${table.preset.name}: ${table.preset.label}; `;
  const delimiter = table.delimiter === '\t' ? 'tabs' : JSON.stringify(table.delimiter);
  print(`${form}${encoding}, ${delimiter} between columns, data from line ${table.headLines + 1} on\n${written}\n`);
  for (const { place, name } of table.columns.slice(0, MOST_COLUMNS)) {
    const mapped = columns.filter((column) => column.place === place);
    const uses = mapped.map((column) => {
      const whose = column.sensor ?? (named === undefined ? sensor : 'the sensor of its line');
      const [from, to] = [column.unit, unitOf(column.metric)];
      const unit =
        from === undefined || from === to ? (to ?? '') : `from ${from}${to === undefined ? '' : ` to ${to}`}`;
      return `${column.metric} of ${whose}${unit === '' ? '' : `, ${unit}`}`;
    });
    if (table.time.includes(place)) uses.push('time of measurement');
    if (place === named?.place) uses.push('sensor');
    print(`#${place + 1}\t${name}\t${uses.length === 0 ? 'left out' : uses.join('; ')}\n`);
  }
  const more = table.columns.length - MOST_COLUMNS;
  if (more > 0) print(`and ${more} more columns\n`);
}

/** The first rows as they would be stored. */
export class PreviewedRows {
  private readonly plan: ImportPlan;
  private readonly timeOf: (instant: number) => string;
  private shown = 0;

  constructor(plan: ImportPlan) {
    this.plan = plan;
    this.timeOf = localTimes(isOffset(plan.zone) ? 'UTC' : plan.zone);
  }

  print({ readings }: ImportAnswer, sensor: string): void {
    for (const [line, ts, values] of readings.slice(0, MOST_SHOWN - this.shown)) {
      this.shown++;
      const texts = Object.entries(values).map(([metric, value]) =>
        `${metric} ${value} ${this.plan.unitOf(metric) ?? ''}`.trim(),
      );
      print(`line ${line}\t${this.timeOf(ts)}\t${sensor}\t${texts.join(', ')}\n`);
    }
  }
}
