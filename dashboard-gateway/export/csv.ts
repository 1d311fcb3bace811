import { stringify } from 'csv-stringify/sync';
import type { LatestValue } from '../../backbone/ports/store.ts';
import { localTimes } from '../../telemetry/local-time.ts';
import type { Registry } from '../../telemetry/registry/registry.ts';
import { unitOf } from '../../telemetry/sensor-rules.ts';
import type { ShownSensor } from '../sensors/shown.ts';

const COLUMNS = ['sensor', 'name', 'field', 'metric', 'unit', 'value', 'measured', 'received'];
/** Rows of one piece: some 100 kB. */
const ROWS_AT_ONCE = 1_000;
/** Ends a line or, in some countries' spreadsheets, a cell: what follows would be a formula of its own. */
const NOT_BARE = /[\r\n\t;|]/;
/** A formula behind what nobody sees: some spreadsheets drop that, and run the rest. */
const BEHIND_BLANKS = /^[\s\u200b-\u200f\u2060]+[=+@-]/;
// Without it, spreadsheets read the file in an old encoding of their own country, and spoil °C.
const BYTE_ORDER_MARK = '\uFEFF';

/** What the rows need besides the values. */
export interface CsvContext {
  readonly registry: Registry;
  readonly sensors: readonly ShownSensor[];
  /** IANA zone of the times. */
  readonly zone: string;
}

/**
 * Makes CSV (RFC 4180, UTF-8) of values, piece by piece: a header, then one row for each value. Its times of
 * measurement and of receipt are local times of the zone. A text that a spreadsheet would run as a formula gets a `'`
 * before it.
 */
export async function* csv(values: AsyncIterable<LatestValue>, context: CsvContext): AsyncGenerator<string> {
  const { registry, zone } = context;
  const sensors = new Map(context.sensors.map((sensor) => [sensor.id, sensor]));
  const measured = localTimes(zone);
  const received = localTimes(zone);
  // The header goes with the first rows. As long as nothing is sent, a failure of the store can still be answered with
  // its own status.
  let mark = BYTE_ORDER_MARK;
  let rows: (string | number)[][] = [COLUMNS];
  for await (const value of values) {
    const { name = value.sensor, field = '' } = sensors.get(value.sensor) ?? {};
    const unit = unitOf(registry, value.metric);
    const times = [measured(value.ts), received(value.received)];
    rows.push([value.sensor, name, field, value.metric, unit, value.value, ...times]);
    if (rows.length < ROWS_AT_ONCE) continue;
    yield mark + lines(rows);
    mark = '';
    rows = [];
  }
  if (rows.length > 0) yield mark + lines(rows);
}

function lines(rows: readonly (string | number)[][]): string {
  const cells = rows.map((row) => row.map((cell) => (BEHIND_BLANKS.test(String(cell)) ? `'${cell}` : cell)));
  return stringify(cells, { escape_formulas: true, record_delimiter: 'windows', quoted_match: [NOT_BARE] });
}
