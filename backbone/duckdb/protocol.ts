import { msOf } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { ExportQuery, HistoryBucket, HistoryQuery, LatestValue } from '../ports/store.ts';
import type { Column } from './frames.ts';

/** The messages between DuckDB's process and its owner. */

/** Given to the process when it is started. */
export interface Settings {
  readonly file: string;
  readonly memoryLimitMb: number;
  /** Its owner ends it when it says nothing for so long. MOST_SILENT_MS unless told. */
  readonly mostSilentMs?: number | undefined;
}

/** A place in the live log: the store has everything before it. */
export interface LogPlace {
  readonly epoch: string;
  readonly offset: number;
}

/** The place that the newest checkpoint was taken at, and when (Unix ms). */
export interface KeptPlace extends LogPlace {
  readonly taken: number;
}

/**
 * Values by column; `farm`, `sensor` and `metric` are places in `names`, `ts` is an instant and `received` whole ms.
 */
export interface RowColumns {
  readonly names: readonly string[];
  readonly farm: Uint32Array<ArrayBuffer>;
  readonly sensor: Uint32Array<ArrayBuffer>;
  readonly metric: Uint32Array<ArrayBuffer>;
  readonly ts: Float64Array<ArrayBuffer>;
  readonly value: Float64Array<ArrayBuffer>;
  readonly received: Float64Array<ArrayBuffer>;
}

export type Ask =
  /** The columns of the rows follow the message. */
  | { readonly is: 'write'; readonly names: readonly string[]; readonly count: number }
  | { readonly is: 'latest'; readonly farm: string }
  | { readonly is: 'history'; readonly query: HistoryQuery }
  /** Begins an export; the id of this request names it from then on. */
  | { readonly is: 'export'; readonly query: ExportQuery }
  /** The next values of an export: none when it has ended. */
  | { readonly is: 'next'; readonly of: number }
  /** Ends an export or a history, also while the database is working at it. */
  | { readonly is: 'leave'; readonly of: number }
  /** Takes a checkpoint of everything asked for before; without a place, the one that is kept stays. */
  | { readonly is: 'checkpoint'; readonly place?: KeptPlace | undefined }
  /** Answered at once, whatever else is under way. */
  | { readonly is: 'alive' }
  | { readonly is: 'close' };

export interface StoreRequest {
  readonly id: number;
  readonly ask: Ask;
}

export type StoreAnswer =
  | { readonly is: 'done' }
  | { readonly is: 'values'; readonly values: LatestValue[] }
  | { readonly is: 'buckets'; readonly buckets: HistoryBucket[] };

export type StoreReply =
  | ({ readonly is: 'open' } & OpenedFile)
  | { readonly is: 'answer'; readonly id: number; readonly answer: StoreAnswer }
  | { readonly is: 'failed'; readonly id: number; readonly why: string }
  /** The process's last message: it can do nothing more. */
  | { readonly is: 'broken'; readonly why: string };

export interface OpenedFile {
  /** The place of the newest checkpoint; none in a new file, and in one of a version that kept none. */
  readonly kept?: KeptPlace | undefined;
  /**
   * Without a place: nobody knows that the file has what was written before it. It is new, its first run was ended
   * before it had a place, or a repair left rows out of it. A file of a version that kept none, and closed it, has everything.
   */
  readonly mayLack: boolean;
}

/** Readings as rows, one row for each value. */
export function toRows(readings: readonly Reading[]): RowColumns {
  let count = 0;
  for (const reading of readings) for (const _ in reading.values) count += 1;
  const places = new Map<string, number>();
  const placeOf = (name: string) => {
    const known = places.get(name);
    if (known !== undefined) return known;
    places.set(name, places.size);
    return places.size - 1;
  };
  const rows = {
    farm: new Uint32Array(count),
    sensor: new Uint32Array(count),
    metric: new Uint32Array(count),
    ts: new Float64Array(count),
    value: new Float64Array(count),
    received: new Float64Array(count),
  };
  let row = 0;
  for (const { farm, sensor, ts, received, values } of readings) {
    const farmPlace = placeOf(farm);
    const sensorPlace = placeOf(sensor);
    const receivedMs = msOf(received);
    for (const metric in values) {
      rows.farm[row] = farmPlace;
      rows.sensor[row] = sensorPlace;
      rows.metric[row] = placeOf(metric);
      rows.ts[row] = ts;
      // Minus zero becomes zero, as in every store.
      rows.value[row] = (values[metric] ?? Number.NaN) + 0;
      rows.received[row] = receivedMs;
      row += 1;
    }
  }
  return { names: [...places.keys()], ...rows };
}

/** The columns that follow the message of a write. */
export function columnsOf({ ts, value, received, farm, sensor, metric }: RowColumns): Column[] {
  return [ts, value, received, farm, sensor, metric];
}

/** The rows of a write, read where their columns lie. */
export function rowsOf(names: readonly string[], count: number, columns: Uint8Array<ArrayBuffer>): RowColumns {
  let at = columns.byteOffset;
  const doubles = () => {
    const column = new Float64Array(columns.buffer, at, count);
    at += column.byteLength;
    return column;
  };
  const places = () => {
    const column = new Uint32Array(columns.buffer, at, count);
    at += column.byteLength;
    return column;
  };
  return {
    names,
    ts: doubles(),
    value: doubles(),
    received: doubles(),
    farm: places(),
    sensor: places(),
    metric: places(),
  };
}
