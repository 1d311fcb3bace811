import { frames } from '../sockets/protocol.ts';
import type { LiveFarm } from '../state/farm.ts';
import { TickFold } from '../state/fold.ts';

/**
 * The frames for viewers that have a farm's entries up to some offset and want the rest, by field. Each is made once
 * for all of them.
 */
export interface CatchUpFrames {
  readonly byField: ReadonlyMap<string, { readonly text: string; readonly rows: number }>;
}

/** Folds a farm's entries after `offset`, as the window has them, into rows of `rowMs`. */
export function catchUpOf(farm: LiveFarm, offset: number, rowMs: number): CatchUpFrames {
  const fold = new TickFold(rowMs);
  for (const { readings } of farm.window.after(offset)) {
    for (const reading of readings) if (farm.latest.shows(reading)) fold.take(farm.fieldOf(reading.sensor), reading);
  }
  const byField = new Map<string, { text: string; rows: number }>();
  for (const [field, rows] of fold.fields()) {
    byField.set(field, { text: frames.readings(farm.id, field, rows), rows: rows.length });
  }
  return { byField };
}

/** The frames that concern some fields, or all of them, and how many rows these frames have. */
export function framesFor(
  { byField }: CatchUpFrames,
  fields: ReadonlySet<string> | undefined,
): { readonly texts: readonly string[]; readonly rows: number } {
  const wanted = [...byField].filter(([field]) => fields === undefined || fields.has(field)).map(([, frame]) => frame);
  return { texts: wanted.map(({ text }) => text), rows: wanted.reduce((sum, { rows }) => sum + rows, 0) };
}
