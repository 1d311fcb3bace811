import { stringify } from 'csv-stringify/sync';
import type { LatestValue } from '../../backbone/ports/store.ts';
import { localTimes } from '../../telemetry/local-time.ts';
import type { Registry } from '../../telemetry/registry.ts';
import { unitOf } from '../../telemetry/rules.ts';
import type { ShownSensor } from '../sensors/shown.ts';

const COLUMNS = ['sensor', 'name', 'field', 'metric', 'unit', 'value', 'measured', 'received'];
/** Rows put together before they are handed on: some 100 kB. */
const ROWS_AT_ONCE = 1_000;
// Spreadsheets take a file without it for one of their own country's old encodings, and spoil °C.
const BYTE_ORDER_MARK = '\uFEFF';

/** What a row says besides the value. */
export interface CsvContext {
  readonly registry: Registry;
  readonly sensors: readonly ShownSensor[];
  /** IANA zone of the times. */
  readonly zone: string;
}

/**
 * Values as CSV (RFC 4180, UTF-8), piece by piece: a head, then a row a value, with when it was measured and when it was received by the clocks of the zone.
 * A text that a spreadsheet would run as a formula gets a `'` before it.
 */
export async function* csv(values: AsyncIterable<LatestValue>, context: CsvContext): AsyncGenerator<string> {
  const { registry, zone } = context;
  const sensors = new Map(context.sensors.map((sensor) => [sensor.id, sensor]));
  const measured = localTimes(zone);
  const received = localTimes(zone);
  // The head goes with the first rows: as long as there is none, a store that fails can still be told of.
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
  return stringify([...rows], { escape_formulas: true, record_delimiter: 'windows', quoted_match: [/[\r\n]/] });
}
