import { expect } from 'chai';
import fc from 'fast-check';
import type { Decoded } from '../../telemetry/formats/decoded.ts';
import { flawsOf } from '../fuzz/sound.ts';
import { chirpstackUplink, decode, RECEIVED, rules, ttnUplink } from './telemetry-payloads.ts';

const FORMS = ['native', 'thingsboard', 'ttn', 'chirpstack'] as const;
const RULES = [rules(), rules('clock: receipt, aliases: { a: soil_moisture }, units: { soil_moisture: m3/m3 }')];

/** What holds whatever came in. */
function expectSound(decoded: Decoded): void {
  expect(flawsOf(decoded, { farm: 'north', sensor: 's1', received: RECEIVED })).to.deep.equal([]);
}

const keys = fc.oneof(
  fc.constantFrom(
    'ts',
    'values',
    'value',
    'unit',
    'n',
    'bn',
    'v',
    'u',
    't',
    'bt',
    'vs',
    's',
    'ec',
    'soil_moisture',
    'a',
    'time',
  ),
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'uplink_message',
    'decoded_payload',
    'object',
    'data',
    'rxInfo',
  ),
  fc.string({ maxLength: 12, unit: 'binary' }),
);
const leaves = fc.oneof(
  fc.double(),
  fc.integer({ min: -10, max: 110 }),
  fc.constantFrom(
    RECEIVED,
    RECEIVED / 1000,
    RECEIVED + 1e9,
    0,
    '2026-05-01T12:00:00Z',
    '30.1 °C',
    'x',
    1e308,
    null,
    true,
  ),
  fc.string({ maxLength: 20 }),
);
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    leaves,
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(keys, tie('json'), { maxKeys: 5 }),
  ),
}));

describe('whatever comes', () => {
  for (const form of FORMS) {
    it(`as bytes on a topic of ${form} becomes readings or refusals`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...RULES), (bytes, by) =>
          expectSound(decode(form, bytes, by)),
        ),
        { numRuns: 300 },
      );
    });

    it(`as JSON on a topic of ${form} becomes readings or refusals`, () => {
      fc.assert(
        fc.property(json, fc.constantFrom(...RULES), (value, by) => expectSound(decode(form, value, by))),
        { numRuns: 1_000 },
      );
    });
  }

  it('inside an uplink becomes readings, refusals or bytes for a codec', () => {
    fc.assert(
      fc.property(json, json, (decoded, bytes) => {
        expectSound(decode('ttn', ttnUplink({ decoded_payload: decoded, frm_payload: bytes })));
        expectSound(decode('chirpstack', chirpstackUplink({ object: decoded, data: bytes })));
      }),
      { numRuns: 500 },
    );
  });

  it('a value is in a reading or is refused, never both', () => {
    const value = fc.oneof(fc.double(), fc.constantFrom<unknown>(null, 'x', true, {}));
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{2,6}$/), value, { minKeys: 1, maxKeys: 9 }), (values) => {
        const { readings, refused } = decode('native', { values });
        const taken = Object.keys(readings[0]?.values ?? {}).length;
        expect(taken + refused.length).to.equal(Object.keys(values).length);
      }),
      { numRuns: 500 },
    );
  });
});

describe('hostile payloads', () => {
  const text = (payload: string) => new TextEncoder().encode(payload);

  it('of 64 KiB of nested arrays or objects are refused by every format', () => {
    for (const form of FORMS) {
      expectSound(decode(form, text('['.repeat(32_000) + ']'.repeat(32_000))));
      expectSound(decode(form, text(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`)));
    }
    const uplink = JSON.stringify(ttnUplink({ decoded_payload: 'HERE' }));
    const deep = uplink.replace('"HERE"', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`);
    expect(decode('ttn', text(deep)).refused[0]?.reason).to.equal('not_a_number');
  });

  it('of 100,000 metrics give 64 values and few refusals', () => {
    const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`m${i}`, i]));
    for (const form of ['native', 'thingsboard'] as const) {
      const decoded = decode(form, many);
      expectSound(decoded);
      expect(Object.keys(decoded.readings[0]?.values ?? {})).to.have.length(64);
    }
    expectSound(decode('ttn', ttnUplink({ decoded_payload: many })));
    const pack = Array.from({ length: 100_000 }, (_, i) => ({ n: `m${i}`, v: i }));
    expectSound(decode('native', pack));
  });

  it('with __proto__, duplicate keys and huge numbers change nothing but their own values', () => {
    for (const form of FORMS) {
      expectSound(
        decode(form, text('{"__proto__":{"values":{"a":1}},"constructor":{"prototype":{"x":1}},"ts":1e999}')),
      );
    }
    expect(Object.hasOwn(Object.prototype, 'values')).to.equal(false);
    expect(decode('native', text('{"ec":1,"ec":2}')).readings[0]?.values).to.deep.equal({ ec: 2 });
    expect(
      decode('thingsboard', text('{"a":1e999,"b":123456789012345678901234567890}')).readings[0]?.values,
    ).to.deep.equal({
      b: 123456789012345680000000000000,
    });
  });
});
