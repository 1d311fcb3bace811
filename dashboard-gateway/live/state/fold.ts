import { msOf } from '../../../telemetry/instant.ts';
import type { Reading } from '../../../telemetry/reading.ts';
import type { FrameRow } from '../sockets/protocol.ts';

interface FoldedRow {
  readonly sensor: string;
  readonly metric: string;
  ts: number;
  last: number;
  min: number;
  max: number;
  sum: number;
  count: number;
}

/** Values measured within the same second become one row. */
export const ROW_MS = 1_000;

/**
 * Readings of one farm, folded into rows by field.
 * Values of one sensor and metric become one row when they were measured within the same `rowMs`; a backfill, spread over hours, keeps its points.
 */
export class TickFold {
  private readonly rows = new Map<string, FoldedRow[]>();
  /** By sensor, then by metric: the row that was touched last. */
  private readonly open = new Map<string, Map<string, FoldedRow>>();
  private readonly rowMs: number;
  private size = 0;

  constructor(rowMs = ROW_MS) {
    this.rowMs = rowMs;
  }

  get rowCount(): number {
    return this.size;
  }

  /** The sensors that have rows. */
  sensors(): Iterable<string> {
    return this.open.keys();
  }

  /** Takes in a reading of a sensor that stands in `field`. */
  take(field: string, { sensor, ts, values }: Reading): void {
    let ofSensor = this.open.get(sensor);
    if (!ofSensor) {
      ofSensor = new Map();
      this.open.set(sensor, ofSensor);
    }
    for (const metric in values) {
      const value = values[metric];
      if (value === undefined) continue;
      const row = ofSensor.get(metric);
      if (row && Math.floor(row.ts / this.rowMs) === Math.floor(ts / this.rowMs)) join(row, ts, value);
      else ofSensor.set(metric, this.begin(field, sensor, metric, ts, value));
    }
  }

  /** Each field with its rows. */
  *fields(): Generator<[field: string, rows: FrameRow[]]> {
    for (const [field, rows] of this.rows) yield [field, rows.map(toRow)];
  }

  clear(): void {
    this.rows.clear();
    this.open.clear();
    this.size = 0;
  }

  private begin(field: string, sensor: string, metric: string, ts: number, value: number): FoldedRow {
    const fresh = { sensor, metric, ts, last: value, min: value, max: value, sum: value, count: 1 };
    const ofField = this.rows.get(field);
    if (ofField) ofField.push(fresh);
    else this.rows.set(field, [fresh]);
    this.size++;
    return fresh;
  }
}

function join(row: FoldedRow, ts: number, value: number): void {
  if (ts >= row.ts) {
    row.ts = ts;
    row.last = value;
  }
  if (value < row.min) row.min = value;
  if (value > row.max) row.max = value;
  row.sum += value;
  row.count++;
}

/** Frames have whole ms: their readers compare times and need no more. */
function toRow({ sensor, metric, ts, last, min, max, sum, count }: FoldedRow): FrameRow {
  const ms = msOf(ts);
  return count === 1 ? [sensor, metric, ms, last] : [sensor, metric, ms, last, min, max, sum / count, count];
}
