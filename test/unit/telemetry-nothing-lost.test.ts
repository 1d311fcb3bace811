import { expect } from 'chai';
import fc from 'fast-check';
import { type Decoded, Refusals } from '../../telemetry/formats/decoded.ts';
import { takeCodecData } from '../../telemetry/formats/uplink.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { createValidate } from '../../workers/validate.ts';
import { chirpstackUplink, decode, RECEIVED, rules, TOPICS, ttnUplink } from './telemetry-payloads.ts';

/** A leaf of a payload as JSON text, and whether it looks like a measurement. */
interface Leaf {
  readonly json: string;
  readonly looksMeasured: boolean;
}

const number = fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((value) => value.toPrecision(6));
const known = fc.constantFrom('°F', ' µg/m³', ' inHg', ' L', ' m³/h', 'mm', ' kΩ', ' %', ' (kPa)', ' mm/24h', ' NTU');
const unknown = fc.constantFrom(' €', ' foo', ' Stück', ' cfu/mL', ' mg foo⁻¹');
const before = fc.constantFrom('<', '> ', '~', '≥ ', 'ca. ', '± ', '€ ');
const behind = fc.constantFrom(' ± 0.5', ' °C, 45 %', ' V/3 A', ' %; 12', ' °C ±2');
const whole = fc.integer({ min: 1, max: 99_999 }).map(String);
const text = (...parts: fc.Arbitrary<string>[]) =>
  fc.tuple(...parts).map((all) => ({ json: JSON.stringify(all.join('')), looksMeasured: true }));
const measured: fc.Arbitrary<Leaf> = fc.oneof(
  number.map((json) => ({ json, looksMeasured: true })),
  fc.boolean().map((value) => ({ json: String(value), looksMeasured: true })),
  fc.constant({ json: '1e999', looksMeasured: true }),
  text(whole),
  text(whole, known),
  text(whole, unknown),
  text(whole, fc.constantFrom(',', '.'), whole, known),
  text(before, whole, known),
  text(whole, behind),
);
const unmeasured: fc.Arbitrary<Leaf> = fc
  .constantFrom(
    'null',
    'nan',
    'NaN',
    '-Infinity',
    '"NaN"',
    '"241408E4"',
    '"OPEN"',
    '""',
    '"1.2.3"',
    '"2026-05-01"',
    '"12:30"',
    '"1 of 3"',
  )
  .map((json) => ({ json, looksMeasured: false }));
/** By names that are different metrics. */
const leaves = fc
  .array(fc.oneof({ arbitrary: measured, weight: 3 }, unmeasured), { minLength: 1, maxLength: 12 })
  .map((all) => all.map((leaf, i) => [`leaf${i}x`, leaf] as const));
type NamedLeaf = readonly [name: string, leaf: Leaf];

const objectOf = (all: readonly NamedLeaf[]) => `{${all.map(([name, { json }]) => `"${name}":${json}`).join(',')}}`;
const nested = (all: readonly NamedLeaf[]) =>
  `{${all.map(([name, { json }], i) => (i % 3 === 0 ? `"${name}":{"value":${json}}` : `"${name}":${json}`)).join(',')}}`;
const inUplink = (uplink: object, json: string) => JSON.stringify(uplink).replace('"@"', json);
const bytes = (json: string) => new TextEncoder().encode(json);

/** How many leaves of other kinds may be counted instead of refused, and the decoder. */
const FORMATS: Readonly<Record<string, (all: readonly NamedLeaf[]) => Decoded>> = {
  native: (all) => decode('native', bytes(objectOf(all))),
  'native with values': (all) => decode('native', bytes(`{"timestamp":"${RECEIVED}","values":${objectOf(all)}}`)),
  'native list': (all) => decode('native', bytes(`[{"ts":${RECEIVED},"values":${objectOf(all)}}]\0`)),
  thingsboard: (all) => decode('thingsboard', bytes(nested(all))),
  'thingsboard with values': (all) =>
    decode(
      'thingsboard',
      bytes(`{"ts":${RECEIVED},"values":${nested(all.slice(1))},${objectOf(all.slice(0, 1)).slice(1)}`),
    ),
  ttn: (all) => decode('ttn', bytes(inUplink(ttnUplink({ decoded_payload: '@', rx_metadata: [] }), nested(all)))),
  chirpstack: (all) =>
    decode('chirpstack', bytes(inUplink(chirpstackUplink({ object: '@', rxInfo: [] }), nested(all)))),
  senml: (all) => decode('native', bytes(`[${all.map(senmlRecord).join(',')}]`)),
  codec: (all) => {
    const refusals = new Refusals();
    const data: unknown = JSON.parse(nested(all.filter(([, { json }]) => !/^-?[nNI]|^nan/.test(json))));
    const context = { farm: 'north', sensor: 's1', received: RECEIVED, rules: rules() };
    const { readings, skipped } = takeCodecData(data, { at: RECEIVED, radio: {} }, context, refusals);
    return { readings, skipped, refused: refusals.list() };
  },
};

function senmlRecord([name, { json }]: NamedLeaf): string {
  if (json.startsWith('"')) return `{"n":"${name}","vs":${json}}`;
  return json === 'true' || json === 'false' ? `{"n":"${name}","vb":${json}}` : `{"n":"${name}","v":${json}}`;
}

describe('nothing that looks like a measurement disappears', () => {
  for (const [format, decoded] of Object.entries(FORMATS)) {
    it(`in ${format}: each is a value, or is set aside by its name; and each other leaf is set aside or counted`, () => {
      fc.assert(
        fc.property(leaves, (all) => {
          const { readings, refused, skipped } = decoded(all);
          const taken = new Set(readings.flatMap(({ values }) => Object.keys(values)));
          const isRefused = (name: string, place: number) =>
            refused.some(({ path }) => path.includes(name) || (format === 'senml' && path.startsWith(`$[${place}]`)));
          const told = all.map(([name], place) => taken.has(name) || isRefused(name, place));
          for (const [place, [name, leaf]] of all.entries()) {
            expect(told[place] || !leaf.looksMeasured, `${name}: ${leaf.json}`).to.equal(true);
          }
          const untold = told.filter((one) => !one).length;
          const left = format === 'codec' ? all.filter(([, { json }]) => /^-?[nNI]|^nan/.test(json)).length : 0;
          // An uplink of which a codec made nothing at all is counted once.
          expect(skipped, 'counted').to.equal(left === all.length ? 1 : untold - left);
        }),
        { numRuns: 60 },
      );
    });
  }

  it('though it stands in the last place that is looked at', () => {
    const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`t${i}`, { value: null, unit: 'V' }]));
    expect(decode('thingsboard', { ...many, ec: 1 }).refused.map(({ reason }) => reason)).to.deep.equal([
      'too_many_metrics',
    ]);
  });

  it('however deep: what is deeper than objects are followed is set aside', () => {
    for (const [open, close] of [
      ['{"value":1,"x":', '}'],
      ['{"measurementId":1,"measurementValue":', '}'],
      ['{"x":', '}'],
      ['[', ']'],
    ] as const) {
      const { readings, refused } = decode('thingsboard', bytes(`{"a":${open.repeat(3_000)}7${close.repeat(3_000)}}`));
      expect(refused.at(-1)?.reason, open).to.equal('not_a_number');
      expect(Object.values(readings[0]?.values ?? {}), open).to.not.include(7);
    }
  });

  it('beside a value in an object: its minimum and maximum are in its unit, its times are none', () => {
    const t = { value: 68, min: 50, max: '86', unit: '°F', timestamp: RECEIVED, count: 12, quality: 'good' };
    const { readings, refused, skipped } = decode('thingsboard', {
      t,
      w: { value: '3 ft', avg: '1 ft', history: [1, 2] },
    });
    expect(refused).to.deep.equal([]);
    expect(readings.map(({ values }) => values)).to.deep.equal([
      { t: 20, t_min: 10, t_max: 30, t_count: 12, w: 914.4, w_avg: 304.8, w_history_0: 1, w_history_1: 2 },
    ]);
    expect(skipped).to.equal(2);
  });
});

describe('a name that no metric can have, or that another has', () => {
  const publishOf = (payload: unknown, sensor = 's1', topic: string = TOPICS.thingsboard) => ({
    farm: 'north',
    field: '',
    sensor,
    topic,
    payload: bytes(JSON.stringify(payload)),
    received: RECEIVED,
  });
  const always = { time: 35, soil_temp: 18, temp_soil: 18.1, ec: 1 };

  it('is said once a sensor, and then counted; all other values of each message are taken', () => {
    const validate = createValidate();
    const run = (...publishes: ReturnType<typeof publishOf>[]) => validate({ id: 'b', publishes }, RECEIVED);
    const first = run(publishOf(always));
    expect(first.dead.map(({ reason }) => reason)).to.deep.equal(['reserved_name']);
    expect(first.dead[0]?.explanation).to.include('$.time').and.to.include('$.temp_soil');
    const then = run(publishOf(always), publishOf(always), publishOf({ ...always, level: '31,2' }));
    expect(then.readings.map(({ values }) => values)).to.deep.equal(
      [1, 1, 1].map((ec) => ({ soil_temperature: 18, ec })),
    );
    expect(then.skipped).to.equal(6);
    expect(then.dead.map(({ reason, explanation }) => [reason, explanation.includes('$.time')])).to.deep.equal([
      ['not_a_number', false],
    ]);
    expect(run(publishOf(always, 's2')).dead, 'another sensor').to.have.length(1);
    expect(run(publishOf({ ...always, field: 3 })).dead, 'another name').to.have.length(1);
  });

  it('of several objects is said each time: it is another measurement', () => {
    const validate = createValidate();
    for (const [payload, topic] of [
      [[{ ec: 1 }, { ec: 2 }], TOPICS.thingsboard],
      [
        [
          { n: 'ec', v: 1 },
          { n: 'ec', v: 2 },
        ],
        telemetryTopic('north', 's1'),
      ],
    ] as const) {
      const publishes = [publishOf(payload, 's1', topic), publishOf(payload, 's1', topic)];
      expect(validate({ id: 'b', publishes }, RECEIVED).dead.map(({ reason }) => reason)).to.deep.equal([
        'double_name',
        'double_name',
      ]);
    }
  });
});
