import type { Reading } from '../reading.ts';
import type { Draft, Found, PayloadContext, Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { Leaves } from './leaves.ts';
import { settleTimes } from './times.ts';

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

/** The reading of an uplink that its network server decoded; or its bytes, for a codec; or, when it carried nothing, its radio values. */
export function takeUplink(uplink: Uplink, context: PayloadContext, refusals: Refusals): Found {
  const { at, decoded, path, data, fPort, radio } = uplink;
  if (isObject(decoded) && Object.keys(decoded).length > 0) {
    const { draft, skipped } = draftOf(decoded, path, at, radio, context, refusals);
    return { drafts: draft ? [draft] : [], skipped };
  }
  const bytes = typeof data === 'string' ? Buffer.from(data, 'base64') : undefined;
  if (bytes && bytes.length > 0) {
    const port = typeof fPort === 'number' && Number.isInteger(fPort) ? fPort : 0;
    return { drafts: [], skipped: 0, bytes: { bytes, fPort: port, at, radio } };
  }
  if (Object.keys(radio).length === 0) refusals.add('no_values', '$', 'the uplink carries no data');
  return { drafts: Object.keys(radio).length > 0 ? [{ at, path: '$', values: radio }] : [], skipped: 0 };
}

/** The readings in what a codec made of an uplink's bytes, `data`, with the radio values that came with them. */
export function takeCodecData(
  data: unknown,
  { at, radio }: { readonly at: number | undefined; readonly radio: Readonly<Record<string, number>> },
  context: PayloadContext,
  refusals: Refusals,
): { readonly readings: Reading[]; readonly skipped: number } {
  if (!isObject(data)) {
    refusals.add('codec_failed', 'data', 'the codec gave no object of values');
    return { readings: [], skipped: 0 };
  }
  const { draft, skipped } = draftOf(data, 'data', at, radio, context, refusals);
  return { readings: draft ? settleTimes([draft], context, refusals) : [], skipped };
}

function draftOf(
  decoded: object,
  path: string,
  at: number | undefined,
  radio: Readonly<Record<string, number>>,
  { rules }: PayloadContext,
  refusals: Refusals,
): { readonly draft: Draft | undefined; readonly skipped: number } {
  const leaves = new Leaves(rules, refusals, path);
  leaves.takeAll(decoded, '', path);
  const { skipped, result } = leaves;
  // An uplink of nothing but texts has told nothing, however well it was received.
  if (!result) {
    refusals.add('no_values', path, 'there is no value in it');
    return { draft: undefined, skipped };
  }
  return { draft: { at, path: '$', values: { ...radio, ...result } }, skipped };
}

/** Signal of the gateway that heard it best: by `rssi` and `snr`, whichever of `receptions` has the highest. */
export function radioOf(receptions: unknown): Record<string, number> {
  const heard = (Array.isArray(receptions) ? receptions.slice(0, 100) : []).filter(isObject);
  const best = (key: string) => {
    const values = heard.map((one) => one[key]).filter((v) => typeof v === 'number' && Number.isFinite(v));
    return values.length === 0 ? undefined : values.reduce((a, b) => Math.max(Number(a), Number(b)));
  };
  const rssi = best('rssi');
  const snr = best('snr');
  return { ...(typeof rssi === 'number' ? { rssi } : {}), ...(typeof snr === 'number' ? { snr } : {}) };
}
