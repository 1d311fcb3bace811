import type { Row } from './protocol.ts';

interface Folded {
  readonly sensor: string;
  readonly metric: string;
  ts: number;
  last: number;
  min: number;
  max: number;
  sum: number;
  count: number;
}

const SECOND_MS = 1000;

/**
 * The readings of one farm that came within one tick, folded into rows by field.
 * Values of one sensor and metric become one row when they were measured within the same second; a backfill, spread over hours, keeps its points.
 */
export class TickFold {
  private readonly rows = new Map<string, Folded[]>();
  /** By sensor, then by metric: the row that was touched last. */
  private readonly open = new Map<string, Map<string, Folded>>();
  private size = 0;

  get rowCount(): number {
    return this.size;
  }

  /** The sensors that have rows. */
  sensors(): Iterable<string> {
    return this.open.keys();
  }

  add(field: string, sensor: string, metric: string, ts: number, value: number): void {
    let ofSensor = this.open.get(sensor);
    if (!ofSensor) {
      ofSensor = new Map();
      this.open.set(sensor, ofSensor);
    }
    const row = ofSensor.get(metric);
    if (row && Math.floor(row.ts / SECOND_MS) === Math.floor(ts / SECOND_MS)) {
      join(row, ts, value);
      return;
    }
    const fresh = { sensor, metric, ts, last: value, min: value, max: value, sum: value, count: 1 };
    ofSensor.set(metric, fresh);
    const ofField = this.rows.get(field);
    if (ofField) ofField.push(fresh);
    else this.rows.set(field, [fresh]);
    this.size++;
  }

  /** Each field with its rows. */
  *fields(): Generator<[field: string, rows: Row[]]> {
    for (const [field, rows] of this.rows) yield [field, rows.map(toRow)];
  }

  clear(): void {
    this.rows.clear();
    this.open.clear();
    this.size = 0;
  }
}

function join(row: Folded, ts: number, value: number): void {
  if (ts >= row.ts) {
    row.ts = ts;
    row.last = value;
  }
  if (value < row.min) row.min = value;
  if (value > row.max) row.max = value;
  row.sum += value;
  row.count++;
}

function toRow({ sensor, metric, ts, last, min, max, sum, count }: Folded): Row {
  return count === 1 ? [sensor, metric, ts, last] : [sensor, metric, ts, last, min, max, sum / count, count];
}
