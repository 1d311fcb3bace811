import type { Reading } from '../reading.ts';

/** What a payload's decoder knows besides its bytes. `received` is Unix ms. */
export interface PayloadContext {
  readonly farm: string;
  readonly sensor: string;
  readonly received: number;
}

/** Something in a payload that no reading was made of. */
export interface Refusal {
  /** A stable word for counting; `docs/protocol-mqtt.md` lists them all. */
  readonly reason: Reason;
  /** The place in the payload, such as `$[3].values.soil_moisture`. */
  readonly path: string;
  /** What is wrong, for a person. */
  readonly explanation: string;
}

/** What became of a payload. At least one of the two lists is never empty. */
export interface Decoded {
  readonly readings: readonly Reading[];
  readonly refused: readonly Refusal[];
}

export const REASONS = [
  'not_utf8',
  'not_json',
  'not_an_object',
  'no_values',
  'bad_time',
  'time_required',
  'not_a_number',
  'not_finite',
  'bad_name',
  'reserved_name',
  'double_name',
  'unknown_key',
  'too_many_metrics',
  'too_many_readings',
  'more_refused',
] as const;
export type Reason = (typeof REASONS)[number];

export const MAX_REFUSALS = 100;

/** Collects refusals. Past the first MAX_REFUSALS they are only counted, so that a hostile payload cannot fill memory. */
export class Refusals {
  private readonly kept: Refusal[] = [];
  private more = 0;

  add(reason: Reason, path: string, explanation: string): void {
    if (this.kept.length < MAX_REFUSALS) this.kept.push({ reason, path, explanation });
    else this.more++;
  }

  list(): readonly Refusal[] {
    if (this.more === 0) return this.kept;
    return [...this.kept, { reason: 'more_refused', path: '$', explanation: `and ${this.more} more` }];
  }
}

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** `path` with one key more. A key that is no plain word is quoted, a long one cut. */
export function child(path: string, key: string): string {
  return PLAIN_KEY.test(key) ? `${path}.${key}` : `${path}[${quote(key)}]`;
}

/** A text from outside, quoted and cut to a length that fits a log line. */
export function quote(text: string): string {
  // Cutting must not leave half a surrogate pair, which is no valid UTF-8.
  return JSON.stringify(text.length <= 64 ? text : `${text.slice(0, 64).replace(/[\uD800-\uDBFF]$/, '')}…`);
}
