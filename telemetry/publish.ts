import { instant, msOf, subOf } from './instant.ts';
import { readVia, type Via, viaText } from './via.ts';

/**
 * One MQTT publish as the broker took it. The payload is raw: only workers parse it. `received` is its receipt, an instant (Unix ms with
 * the count behind the point) that no other publish of the sensor has.
 */
export interface Publish {
  readonly farm: string;
  readonly field: string;
  readonly sensor: string;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly received: number;
  /** Who handed it over, when that was not the sensor itself. */
  readonly via?: Via;
}

/**
 * `sub` is the count of the receipt, 0 to 999; rows of version 1 end before it. `via` is left out where the sensor itself
 * published.
 */
export type PublishRow = [
  farm: string,
  field: string,
  sensor: string,
  topic: string,
  payload: Uint8Array,
  received: number,
  sub?: number,
  via?: string,
];

/** Longest text of a row, but for its payload. */
export const MAX_TEXT = 1024;
export const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= MAX_TEXT;

// Rows are checked without zod, which took a third of a gateway's time under load.
/** Whether it is a row of so many columns: 6 in version 1, 7 in version 2, 7 or 8 now. */
function isPublishRow(row: unknown, least: 6 | 7, most: 6 | 7 | 8): row is PublishRow {
  if (!Array.isArray(row) || row.length < least || row.length > most) return false;
  const [farm, field, sensor, topic, payload, received, sub = 0, via]: unknown[] = row;
  if (via !== undefined && !(isText(via) && readVia(via))) return false;
  const named = isText(farm) && isText(field) && isText(sensor) && isText(topic);
  return named && payload instanceof Uint8Array && Number.isFinite(received) && isSub(sub);
}

function isSub(sub: unknown): boolean {
  return typeof sub === 'number' && Number.isInteger(sub) && sub >= 0 && sub <= 999;
}

export const isNow = (row: unknown): row is PublishRow => isPublishRow(row, 7, 8);
export const isOfVersion2 = (row: unknown): row is PublishRow => isPublishRow(row, 7, 7);
export const isOfVersion1 = (row: unknown): row is PublishRow => isPublishRow(row, 6, 6);

/** A publish as its row. */
export function toRow(p: Publish): PublishRow {
  const row: PublishRow = [p.farm, p.field, p.sensor, p.topic, p.payload, msOf(p.received), subOf(p.received)];
  if (p.via !== undefined) row.push(viaText(p.via));
  return row;
}

/** The publish in a row. */
export function fromRow([farm, field, sensor, topic, payload, received, sub = 0, via]: PublishRow): Publish {
  const publish = { farm, field, sensor, topic, payload, received: instant(received, sub) };
  const by = via === undefined ? undefined : readVia(via);
  return by === undefined ? publish : { ...publish, via: by };
}
