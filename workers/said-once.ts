import { LRUCache } from 'lru-cache';
import type { Refusal } from '../telemetry/formats/decoded.ts';

/** Most things said that are remembered. At the limit what was not met for longest is forgotten, and said again. */
const MOST_SAID = 100_000;

/**
 * What was said already of names that each payload of a sensor has again: a codec that always sends `time` as a value
 * must not make a dead letter of each of its uplinks.
 */
export class SaidOnce {
  private readonly said = new LRUCache<string, true>({ max: MOST_SAID });

  /** The refusals that are to be said now. Those without `once` always are. */
  news(farm: string, sensor: string, refused: readonly Refusal[]): readonly Refusal[] {
    if (refused.every(({ once }) => once === undefined)) return refused;
    return refused.filter(({ reason, once }) => {
      if (once === undefined) return true;
      const key = `${farm}/${sensor} ${reason} ${once}`;
      const isNew = this.said.get(key) === undefined;
      if (isNew) this.said.set(key, true);
      return isNew;
    });
  }
}
