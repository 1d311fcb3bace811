import { deserialize, serialize } from 'node:v8';
import { Packr } from 'msgpackr';
import { type Batch, batchId, decodeBatch, encodeBatch, type Publish } from '../telemetry/batch.ts';
import { packRows, unpackRows } from './length-prefixed.ts';
import { measure } from './measure.ts';
import type { Benchmark, Outcome } from './outcome.ts';

const PUBLISHES = 256;

interface Encoding {
  readonly encode: (batch: Batch) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

/** Loam's own comes first; the others are what it could be instead, all without any check of what they decode. */
const encodings: Readonly<Record<string, Encoding>> = {
  'msgpackr, checked (Loam)': { encode: encodeBatch, decode: decodeBatch },
  'msgpackr, unchecked': { encode: encodeBatch, decode: (bytes) => packr.unpack(bytes) },
  'JSON with base64': {
    encode: (batch) => Buffer.from(JSON.stringify(batch.publishes.map(toText))),
    decode: (bytes) => decodeJson(bytes),
  },
  'v8 serialize': { encode: (batch) => serialize(batch), decode: (bytes) => deserialize(bytes) },
  'length-prefixed by hand': { encode: packRows, decode: unpackRows },
};

/** Encodes and decodes one full batch of the broker with each encoding, by turns. Higher is better. */
export const encoding: Benchmark = {
  name: 'encoding',
  about: `publishes a second through encode and decode, in batches of ${PUBLISHES}`,
  async run({ quick }): Promise<Outcome> {
    const batch = sampleBatch();
    const rows = measure(
      Object.entries(encodings).map(([name, { encode, decode }]) => {
        const bytes = encode(batch);
        return { name, bytes: bytes.length, steps: { encode: () => encode(batch), decode: () => decode(bytes) } };
      }),
      quick ? 150 : 1_000,
    );
    const table = rows.map(({ name, bytes, us }) => {
      const { encode = 0, decode = 0 } = us;
      return { name, bytes, encodeUs: encode, decodeUs: decode, perSecond: (PUBLISHES / (encode + decode)) * 1e6 };
    });
    const [own, ...rivals] = table;
    if (!own) throw new Error('no encoding was measured');
    return {
      bench: 'encoding',
      unit: 'publishes/s',
      loam: Math.round(own.perSecond),
      peers: Object.fromEntries(rivals.map((r) => [r.name, Math.round(r.perSecond)])),
      ratio: Object.fromEntries(rivals.map((r) => [r.name, own.perSecond / r.perSecond])),
      detail: Object.fromEntries(table.map(({ name, ...figures }) => [name, figures])),
    };
  },
};

function sampleBatch(): Batch {
  const begin = Date.UTC(2026, 5, 1);
  const publishes = Array.from({ length: PUBLISHES }, (_, i): Publish => {
    const sensor = `s${String(i).padStart(4, '0')}`;
    const values = { soil_moisture: 20 + (i % 97) / 4, soil_temperature: 11 + (i % 53) / 8, ec: 1.25, battery: 3.61 };
    return {
      farm: 'north',
      field: `f${i % 20}`,
      sensor,
      topic: `farms/north/sensors/${sensor}/telemetry`,
      payload: new TextEncoder().encode(JSON.stringify({ ts: begin + i, values })),
      received: begin + 1_000 + i,
    };
  });
  return { id: batchId(), publishes };
}

function toText(publish: Publish): unknown {
  return { ...publish, payload: Buffer.from(publish.payload).toString('base64') };
}

function decodeJson(bytes: Uint8Array): unknown {
  const rows: { payload: string }[] = JSON.parse(Buffer.from(bytes).toString());
  return rows.map((row) => ({ ...row, payload: Buffer.from(row.payload, 'base64') }));
}
