import type { ShownTwice } from '../clock.ts';
import type { Reading } from '../reading.ts';
import type { SensorRules } from '../sensor-rules.ts';

/** What a payload's decoder knows besides its bytes. `received` is an instant. */
export interface PayloadContext {
  readonly farm: string;
  readonly sensor: string;
  readonly received: number;
  /** How the sensor's names, units and times are read. */
  readonly rules: SensorRules;
  /** Of what a gateway publishes: the context of a device that the payload names. Without it there are no devices. */
  readonly deviceOf?: DeviceOf | undefined;
}

/** The context of a device that a gateway names, or why there is none. */
export type DeviceOf = (name: string) => PayloadContext | DeviceProblem;
export type DeviceProblem = 'no_sensor' | 'too_many_sensors';

/** A part of a payload that no reading was made of. */
export interface Refusal {
  /** A stable word for counting; `docs/protocol-mqtt.md` lists them all. */
  readonly reason: Reason;
  /** The place in the payload, such as `$[3].values.soil_moisture`. */
  readonly path: string;
  /** What is wrong, for a person. */
  readonly explanation: string;
  /** The metric that it is about, where each payload of a sensor may well have the same: then it is said once, and counted from then on. */
  readonly once?: string;
}

/** What became of a payload. `readings` and `refused` are both empty only if a codec has to read `bytes` first. */
export interface Decoded {
  readonly readings: readonly Reading[];
  readonly refused: readonly Refusal[];
  /** How many texts and nulls of other systems were ignored, because they are no measurements. */
  readonly skipped: number;
  readonly bytes?: UplinkBytes;
  /** Of a payload of which something was refused because it is of a time to come: what its newest time says of the clock. */
  readonly clock?: ClockError;
}

/** How far a device's clock is ahead of a receipt, and what the registry corrected of it then. Both in ms, below 0 for back. */
export interface ClockError {
  readonly aheadMs: number;
  readonly correctedMs: number;
}

/** What a LoRaWAN device sent, when its network server did not decode it; or the payload of a mapped topic with a codec. */
export interface UplinkBytes {
  readonly bytes: Uint8Array;
  readonly fPort: number;
  /** When the network received it, Unix ms; absent when it does not say. */
  readonly at: number | undefined;
  /** What the network measured of the radio signal, by metric. */
  readonly radio: Readonly<Record<string, number>>;
  /** Of a mapped topic: that topic, and the codec that the mapping names. */
  readonly mapped?: { readonly topic: string; readonly codec: string };
}

/**
 * A reading before its time is settled. `at` is what the device claims: whole Unix ms, or an instant with the count of the
 * receipt when it was told as a span before the receipt (`ofReceipt`), which is no word of the device's clock. `path` is
 * its place in the payload.
 */
export interface Draft {
  readonly at: number | ShownTwice | undefined;
  readonly ofReceipt?: boolean;
  readonly path: string;
  readonly values: Readonly<Record<string, number>>;
}

/** What a format found in a payload. */
export interface FoundReadings {
  readonly drafts: readonly Draft[];
  readonly skipped: number;
  readonly bytes?: UplinkBytes;
  /** Readings of other sensors than the one that published: those of a gateway's devices. Their times are settled. */
  readonly ofOthers?: readonly Reading[];
}

export const NOTHING: FoundReadings = { drafts: [], skipped: 0 };

export const REASONS = [
  'not_utf8',
  'not_json',
  'not_an_object',
  'no_values',
  'bad_time',
  'time_required',
  'future_time',
  'ambiguous_time',
  'not_a_number',
  'not_finite',
  'wrong_unit',
  'mixed_units',
  'implausible',
  'bad_name',
  'reserved_name',
  'double_name',
  'double_time',
  'unknown_key',
  'too_many_metrics',
  'too_many_readings',
  'unknown_version',
  'unknown_field',
  'other_device',
  'not_an_uplink',
  'uplink_too_long',
  'no_codec',
  'no_mapping',
  'no_sensor',
  'too_many_sensors',
  'codec_failed',
  'more_refused',
] as const;
export type Reason = (typeof REASONS)[number];

export const MAX_REFUSALS = 100;

/** Collects refusals. Past the first MAX_REFUSALS they are only counted, so that a hostile payload cannot fill memory. */
export class Refusals {
  private readonly kept: Refusal[] = [];
  private more = 0;
  private newest: ClockError | undefined;

  add(reason: Reason, path: string, explanation: string, once?: string): void {
    if (this.kept.length >= MAX_REFUSALS) this.more++;
    else this.kept.push(once === undefined ? { reason, path, explanation } : { reason, path, explanation, once });
  }

  /** Something was refused because a device's clock is so far ahead. */
  isAhead(aheadMs: number, correctedMs: number): void {
    if (aheadMs > (this.newest?.aheadMs ?? 0)) this.newest = { aheadMs, correctedMs };
  }

  get clock(): ClockError | undefined {
    return this.newest;
  }

  get none(): boolean {
    return this.kept.length === 0;
  }

  list(): readonly Refusal[] {
    if (this.more === 0) return this.kept;
    return [...this.kept, { reason: 'more_refused', path: '$', explanation: `and ${this.more} more` }];
  }
}

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** `path` with one more key. A key that is no plain word is quoted, and a long one cut. */
export function child(path: string, key: string): string {
  return PLAIN_KEY.test(key) ? `${path}.${key}` : `${path}[${quote(key)}]`;
}

/** A text from outside, quoted and cut to a length that fits a log line. */
export function quote(text: string): string {
  // Cutting must not leave half a surrogate pair, which is no valid UTF-8.
  return JSON.stringify(text.length <= 64 ? text : `${text.slice(0, 64).replace(/[\uD800-\uDBFF]$/, '')}…`);
}

/** What a JSON value is, in a word. */
export function kind(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return `the text ${quote(value)}`;
  return `the ${typeof value} ${String(value)}`;
}
