import type { Reading } from '../reading.ts';
import {
  child,
  type Draft,
  type FoundReadings,
  kind,
  NOTHING,
  type PayloadContext,
  type Refusals,
  type UplinkBytes,
} from './decoded.ts';
import { isObject } from './json.ts';
import { Leaves } from './nested-values.ts';
import { takeThingsboard } from './thingsboard.ts';
import { settleTimes, takeTime } from './times.ts';

/** Where makers' decoders put the readings that a device kept while it had no network, and what they call the time of each. */
const HISTORY = 'history';
const NOT_NOW: ReadonlySet<string> = new Set([HISTORY]);
const TIMES = ['timestamp', 'time', 'ts'] as const;
const NO_VALUES: ReadonlySet<string> = new Set(TIMES);
const MOST_HISTORY = 1_000;

/** No LoRaWAN frame carries more bytes: its length is told in one. */
const MOST_BYTES = 255;
/** Base64 of so many bytes has 340 characters. Three times that, as line breaks may be among them, are not even read. */
const MOST_BASE64 = 1_024;

/** What a network server says of an uplink, whichever one it is. */
export interface Uplink {
  /** When it was received by the network, Unix ms. */
  readonly at: number | undefined;
  /** The values that the network server decoded, and their place in the payload. */
  readonly decoded: unknown;
  readonly path: string;
  /** What the device sent, in Base64. */
  readonly data: unknown;
  readonly fPort: unknown;
  readonly radio: Readonly<Record<string, number>>;
}

/**
 * Readings that a network server decoded, or bytes for a codec, or only radio values when there are no measurements.
 * More bytes than an uplink can have are refused: what came is no uplink, and codecs are written for short ones.
 */
export function takeUplink(uplink: Uplink, context: PayloadContext, refusals: Refusals): FoundReadings {
  const { at, path, data, fPort, radio } = uplink;
  const decoded = withoutBytes(uplink.decoded);
  if (decoded) return draftsOf(decoded, path, { at, radio }, context, refusals);
  const bytes = typeof data === 'string' ? bytesOf(data) : undefined;
  if (bytes === 'too long') {
    refusals.add('uplink_too_long', '$', `a LoRaWAN uplink has at most ${MOST_BYTES} bytes`);
    return NOTHING;
  }
  if (bytes && bytes.length > 0) {
    const port = typeof fPort === 'number' && Number.isInteger(fPort) ? fPort : 0;
    return { drafts: [], skipped: 0, bytes: { bytes, fPort: port, at, radio } };
  }
  const { decoded: other } = uplink;
  if (other !== undefined && other !== null && !isObject(other)) {
    refusals.add('not_an_object', path, `decoded values are an object, not ${kind(other)}`);
  }
  return { drafts: radioDraft(at, radio), skipped: 1 };
}

/** What was decoded, unless that is nothing, or nothing but the bytes themselves, which The Things Stack's usual formatter gives. */
function withoutBytes(decoded: unknown): Readonly<Record<string, unknown>> | undefined {
  if (!isObject(decoded)) return undefined;
  const { bytes, ...rest } = decoded;
  const told = Array.isArray(bytes) && bytes.every(isByte) ? rest : decoded;
  return Object.keys(told).length > 0 ? told : undefined;
}

function isByte(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255;
}

/** How a message without measurements was received. */
function radioDraft(at: number | undefined, radio: Readonly<Record<string, number>>): Draft[] {
  return Object.keys(radio).length > 0 ? [{ at, path: '$', values: radio }] : [];
}

function bytesOf(base64: string): Uint8Array | 'too long' {
  if (base64.length > MOST_BASE64) return 'too long';
  const bytes = Buffer.from(base64, 'base64');
  return bytes.length > MOST_BYTES ? 'too long' : bytes;
}

interface Reception {
  readonly at: number | undefined;
  readonly radio: Readonly<Record<string, number>>;
}

/** The readings in `data`, which a codec made of an uplink's bytes, with the radio values of that uplink. Of a mapped topic they may be in any of the forms of ThingsBoard's device API. */
export function takeCodecData(
  data: unknown,
  uplink: Reception & Pick<UplinkBytes, 'mapped'>,
  context: PayloadContext,
  refusals: Refusals,
): { readonly readings: Reading[]; readonly skipped: number } {
  if (uplink.mapped) {
    const { drafts, skipped } = takeThingsboard(data, context, refusals);
    return { readings: settleTimes(drafts, context, refusals), skipped };
  }
  if (!isObject(data)) {
    refusals.add('codec_failed', 'data', 'the codec gave no object of values');
    return { readings: [], skipped: 0 };
  }
  const { drafts, skipped } = draftsOf(data, 'data', uplink, context, refusals);
  return { readings: settleTimes(drafts, context, refusals), skipped };
}

/** Drafts of what was measured now, with the radio values, and of what the device kept from before. */
function draftsOf(
  decoded: Readonly<Record<string, unknown>>,
  path: string,
  { at, radio }: Reception,
  context: PayloadContext,
  refusals: Refusals,
): FoundReadings {
  const kept = isHistory(decoded.history) ? decoded.history : undefined;
  const past = kept ? pastOf(kept, child(path, HISTORY), context, refusals) : { drafts: [], skipped: 0 };
  const leaves = new Leaves(context.rules, refusals, path);
  leaves.takeAll(decoded, '', path, kept ? NOT_NOW : undefined);
  const { result } = leaves;
  const nothing = !result && past.drafts.length === 0 && leaves.skipped + past.skipped === 0 && refusals.none;
  const skipped = leaves.skipped + past.skipped + (nothing ? 1 : 0);
  // Settings and texts are no measurements, and no mistake either: they are counted.
  const unmeasured = past.drafts.length > 0 || !refusals.none ? [] : radioDraft(at, radio);
  const now = result ? [{ at, path: '$', values: { ...radio, ...result } }] : unmeasured;
  return { drafts: [...past.drafts, ...now], skipped };
}

function isHistory(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.some(isObject);
}

function pastOf(items: readonly unknown[], path: string, context: PayloadContext, refusals: Refusals): FoundReadings {
  const drafts: Draft[] = [];
  let skipped = 0;
  if (items.length > MOST_HISTORY) {
    const explanation = `${items.length - MOST_HISTORY} readings too many: ${MOST_HISTORY} are taken`;
    refusals.add('too_many_readings', `${path}[${MOST_HISTORY}]`, explanation);
  }
  for (const [i, item] of items.slice(0, MOST_HISTORY).entries()) {
    const place = `${path}[${i}]`;
    const key = isObject(item) ? TIMES.find((name) => Object.hasOwn(item, name)) : undefined;
    if (!isObject(item)) refusals.add('not_an_object', place, `a reading is an object, not ${kind(item)}`);
    else if (key === undefined) refusals.add('time_required', place, `in a history each reading has a "${TIMES[0]}"`);
    else {
      const at = takeTime(item[key], place, key, context, refusals);
      if (at === null) continue;
      const leaves = new Leaves(context.rules, refusals, place);
      leaves.takeAll(item, '', place, NO_VALUES);
      skipped += leaves.skipped;
      if (leaves.result) drafts.push({ at, path: place, values: leaves.result });
      else refusals.add('no_values', place, 'there is no value in it');
    }
  }
  return { drafts, skipped };
}

/** The best `rssi` and the best `snr` in `receptions`. The two may be of different gateways. */
export function radioOf(receptions: unknown): Record<string, number> {
  const heard = (Array.isArray(receptions) ? receptions.slice(0, 100) : []).filter(isObject);
  const best = (key: string) => {
    const values = heard.map((one) => one[key]).filter((v) => typeof v === 'number' && Number.isFinite(v));
    return values.length === 0 ? undefined : values.reduce((a, b) => Math.max(Number(a), Number(b)));
  };
  const rssi = best('rssi');
  const snr = best('snr') ?? best('loRaSNR');
  return { ...(typeof rssi === 'number' ? { rssi } : {}), ...(typeof snr === 'number' ? { snr } : {}) };
}
