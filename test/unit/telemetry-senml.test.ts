import { expect } from 'chai';
import { Refusals } from '../../telemetry/formats/decoded.ts';
import { resolveSenml } from '../../telemetry/formats/senml-records.ts';
import { decode, RECEIVED, rules } from './telemetry-payloads.ts';

const NOW = 1_500_000_000;

/** The records of a pack as RFC 8428, section 4.6, has them; `t` is left out where no time was given. */
function resolved(pack: readonly unknown[]): object[] {
  const refusals = new Refusals();
  const records = resolveSenml(pack, NOW, refusals);
  expect(refusals.list()).to.deep.equal([]);
  return records.map(({ name, unit, time, value, text, flag, data }) => ({
    n: name,
    ...(unit === undefined ? {} : { u: unit }),
    ...(time === undefined ? {} : { t: time }),
    ...(value === undefined ? {} : { v: value }),
    ...(text === undefined ? {} : { vs: text }),
    ...(flag === undefined ? {} : { vb: flag }),
    ...(data === undefined ? {} : { vd: data }),
  }));
}

function refused(pack: readonly unknown[]): string[] {
  const refusals = new Refusals();
  resolveSenml(pack, NOW, refusals);
  return refusals.list().map(({ reason, path }) => `${reason} ${path}`);
}

const device = 'urn:dev:ow:10e2073a01080063';

describe('SenML: the examples of RFC 8428', () => {
  it('5.1.1 single data point', () => {
    expect(resolved([{ n: device, u: 'Cel', v: 23.1 }])).to.deep.equal([{ n: device, u: 'Cel', v: 23.1 }]);
  });

  it('5.1.2 multiple data points', () => {
    const pack = [
      { bn: `${device}:`, n: 'voltage', u: 'V', v: 120.1 },
      { n: 'current', u: 'A', v: 1.2 },
    ];
    expect(resolved(pack)).to.deep.equal([
      { n: `${device}:voltage`, u: 'V', v: 120.1 },
      { n: `${device}:current`, u: 'A', v: 1.2 },
    ]);
  });

  it('5.1.2 multiple data points with a base time, a base unit and an older version', () => {
    const bt = 1_276_020_076.001;
    const pack = [
      { bn: 'urn:dev:ow:10e2073a0108006:', bt, bu: 'A', bver: 5, n: 'voltage', u: 'V', v: 120.1 },
      ...[1.2, 1.3, 1.4, 1.5, 1.6].map((v, i) => ({ n: 'current', t: i - 5, v })),
      { n: 'current', v: 1.7 },
    ];
    const current = 'urn:dev:ow:10e2073a0108006:current';
    expect(resolved(pack)).to.deep.equal([
      { n: 'urn:dev:ow:10e2073a0108006:voltage', u: 'V', t: bt, v: 120.1 },
      ...[1.2, 1.3, 1.4, 1.5, 1.6, 1.7].map((v, i) => ({ n: current, u: 'A', t: bt + i - 5, v })),
    ]);
  });

  it('5.1.3 multiple measurements of one thing', () => {
    const times = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 91, 92];
    const values = [21.2, 21.3, 21.4, 21.4, 21.5, 21.5, 21.5, 21.6, 21.7, 21.5, 21.5, 21.5];
    const [, ...rest] = times.map((t, i) => ({ t, v: values[i] }));
    expect(resolved([{ bn: device, bt: 1_320_067_464, bu: '%RH', v: 21.2 }, ...rest])).to.deep.equal(
      times.map((t, i) => ({ n: device, u: '%RH', t: 1_320_067_464 + t, v: values[i] })),
    );
  });

  it('5.1.3 and 5.1.4 measurements while moving, and the same resolved', () => {
    const moved = [
      [0, 20, 24.30621, 60.07965],
      [60, 20.3, 24.30622, 60.07965],
      [120, 20.7, 24.30623, 60.07966],
      [180, 21.2, 24.30628, 60.07967],
    ] as const;
    const time = (t: number) => (t === 0 ? {} : { t });
    const [first, ...rest] = moved.flatMap(([t, rh, lon, lat]) => [
      { ...time(t), v: rh },
      { u: 'lon', ...time(t), v: lon },
      { u: 'lat', ...time(t), v: lat },
    ]);
    const pack: object[] = [{ bn: device, bt: 1_320_067_464, bu: '%RH', ...first }, ...rest];
    pack.splice(9, 0, { u: '%EL', t: 150, v: 98 });
    const expected: object[] = moved.flatMap(([t, rh, lon, lat]) => [
      { n: device, u: '%RH', t: 1_320_067_464 + t, v: rh },
      { n: device, u: 'lon', t: 1_320_067_464 + t, v: lon },
      { n: device, u: 'lat', t: 1_320_067_464 + t, v: lat },
    ]);
    expected.splice(9, 0, { n: device, u: '%EL', t: 1_320_067_614, v: 98 });
    expect(resolved(pack)).to.deep.equal(expected);
    expect(resolved(expected), 'what is resolved resolves to itself').to.deep.equal(expected);
  });

  it('5.1.5 multiple data types', () => {
    const pack = [
      { bn: `${device}:`, n: 'temp', u: 'Cel', v: 23.1 },
      { n: 'label', vs: 'Machine Room' },
      { n: 'open', vb: false },
      { n: 'nfv-reader', vd: 'aGkgCg' },
    ];
    expect(resolved(pack)).to.deep.equal([
      { n: `${device}:temp`, u: 'Cel', v: 23.1 },
      { n: `${device}:label`, vs: 'Machine Room' },
      { n: `${device}:open`, vb: false },
      { n: `${device}:nfv-reader`, vd: 'aGkgCg' },
    ]);
  });

  it('5.1.6 collection of resources', () => {
    const pack = [
      { bn: '2001:db8::2/', bt: 1_320_078_429, n: 'temperature', u: 'Cel', v: 25.2 },
      { n: 'humidity', u: '%RH', v: 30 },
      { bn: '2001:db8::1/', n: 'temperature', u: 'Cel', v: 12.3 },
      { n: 'humidity', u: '%RH', v: 67 },
    ];
    const t = 1_320_078_429;
    expect(resolved(pack)).to.deep.equal([
      { n: '2001:db8::2/temperature', u: 'Cel', t, v: 25.2 },
      { n: '2001:db8::2/humidity', u: '%RH', t, v: 30 },
      { n: '2001:db8::1/temperature', u: 'Cel', t, v: 12.3 },
      { n: '2001:db8::1/humidity', u: '%RH', t, v: 67 },
    ]);
  });

  it('5.1.7 setting an actuator', () => {
    const thermostat = [
      { bn: `${device}:` },
      { n: 'temp', u: 'Cel', v: 23.1 },
      { n: 'heat', u: '/', v: 1 },
      { n: 'fan', u: '/', v: 0 },
    ];
    expect(resolved(thermostat)).to.deep.equal([
      { n: `${device}:temp`, u: 'Cel', v: 23.1 },
      { n: `${device}:heat`, u: '/', v: 1 },
      { n: `${device}:fan`, u: '/', v: 0 },
    ]);
    const lights = [
      { bt: 1_320_078_429, bu: '/', n: '2001:db8::3', v: 0.5 },
      { n: '2001:db8::4', v: 0.5 },
      { n: '2001:db8::3', t: 0.1, v: 0 },
      { n: '2001:db8::4', t: 0.1, v: 0 },
    ];
    expect(resolved(lights)).to.deep.equal([
      { n: '2001:db8::3', u: '/', t: 1_320_078_429, v: 0.5 },
      { n: '2001:db8::4', u: '/', t: 1_320_078_429, v: 0.5 },
      { n: '2001:db8::3', u: '/', t: 1_320_078_429.1, v: 0 },
      { n: '2001:db8::4', u: '/', t: 1_320_078_429.1, v: 0 },
    ]);
  });
});

describe('SenML: rules', () => {
  it('times below 2^28 are relative to now', () => {
    expect(resolved([{ n: 'a', v: 1, t: -60 }])).to.deep.equal([{ n: 'a', t: NOW - 60, v: 1 }]);
    expect(resolved([{ n: 'a', v: 1, t: 2 ** 28 }])).to.deep.equal([{ n: 'a', t: 2 ** 28, v: 1 }]);
  });

  it('times relative to now keep the count of the receipt, absolute ones are whole milliseconds', () => {
    const pack = [
      { n: 'ec', v: 1 },
      { n: 'ec', v: 2, t: -60 },
      { n: 'ec', v: 3, t: RECEIVED / 1_000 - 120 },
    ];
    const times = (by = rules()) =>
      decode('native', pack, by, RECEIVED + 0.123).readings.map(({ ts }) => ts - RECEIVED);
    expect(times()).to.deep.equal(
      [RECEIVED + 0.123, RECEIVED - 60_000 + 0.123, RECEIVED - 120_000].map((ts) => ts - RECEIVED),
    );
  });

  it('times are told to the millisecond also as the sum of two numbers, and relative to now', () => {
    const spans = Array.from({ length: 1_000 }, (_, i) => i * 61 + 1);
    const timesOf = (records: readonly object[]) => decode('native', records).readings.map(({ ts }) => ts - RECEIVED);
    const base = { bn: 'probe:', bt: (RECEIVED - 99_877) / 1_000 };
    const since = spans.map((ms) => ({ n: 'count', t: ms / 1_000, v: ms }));
    expect(timesOf([base, ...since])).to.deep.equal(spans.map((ms) => ms - 99_877));
    const ago = spans.map((ms) => ({ n: 'count', t: -ms / 1_000, v: ms }));
    expect(timesOf(ago)).to.deep.equal(spans.map((ms) => -ms));
  });

  it('base value and base sum are added', () => {
    const records = resolveSenml([{ bn: 'a', bv: 20, bs: 100, v: 1, s: 5 }, { n: 'b' }], NOW, new Refusals());
    expect(records.map(({ name, value, sum }) => ({ name, value, sum }))).to.deep.equal([
      { name: 'a', value: 21, sum: 105 },
      { name: 'ab', value: 20, sum: undefined },
    ]);
  });

  it('an unknown field that ends in _ forbids the whole pack, any other is passed over', () => {
    expect(
      refused([
        { n: 'a', v: 1 },
        { n: 'b', v: 2, must_: 1 },
      ]),
    ).to.deep.equal(['unknown_field $[1].must_']);
    expect(refused([{ n: 'a', v: 1, may: 1 }])).to.deep.equal([]);
  });

  it('a version above 10 forbids the whole pack', () => {
    expect(refused([{ bver: 11, n: 'a', v: 1 }])).to.deep.equal(['unknown_version $[0].bver']);
  });

  it('refuses a record with two values, with none, with a wrong type, or without a good name', () => {
    const pack = [{ n: 'a', v: 1, vs: 'x' }, { n: 'b' }, { n: 'c', v: '1' }, { n: '-d', v: 1 }, 7, { v: 1 }];
    expect(refused(pack)).to.deep.equal([
      'no_values $[0]',
      'no_values $[1]',
      'not_a_number $[2].v',
      'bad_name $[3]',
      'not_an_object $[4]',
      'bad_name $[5]',
    ]);
  });
});

describe('SenML: readings', () => {
  it('are of one time each, with the units made those of the metrics', () => {
    const pack = [
      { bn: `${device}:`, bt: RECEIVED / 1000, n: 'soil_temperature', u: 'K', v: 293.15 },
      { n: 'soil_moisture', u: '/', v: 0.31 },
      { n: 'soil_moisture', u: '/', t: -60, v: 0.3 },
      { n: 'door', vb: true },
      { n: 'note', vs: 'dry' },
    ];
    const { readings, refused, skipped } = decode('native', pack);
    expect(refused).to.deep.equal([]);
    expect(skipped).to.equal(1);
    expect(readings.map(({ ts, values }) => [ts - RECEIVED, values])).to.deep.equal([
      [0, { soil_temperature: 20, soil_moisture: 31, door: 1 }],
      [-60_000, { soil_moisture: 30 }],
    ]);
  });

  it('are named by their unit where the name is only the device', () => {
    const { readings } = decode('native', [{ n: device, u: 'Cel', v: 23.1 }]);
    expect(readings[0]?.values).to.deep.equal({ temperature: 23.1 });
    expect(decode('native', [{ n: device, u: '/', v: 1 }]).refused[0]?.reason).to.equal('bad_name');
  });

  it('take the clock that the registry says', () => {
    const pack = [
      { n: 'ec', v: 1, t: 1_000_000_000 },
      { n: 'ec', v: 2, t: 1_000_000_060 },
    ];
    const { readings } = decode('native', pack, rules('clock: receipt'));
    expect(readings.map(({ ts }) => ts - RECEIVED)).to.deep.equal([-60_000, 0]);
  });

  it('have fields of an extension beside them, which are ignored, also in the first record', () => {
    const pack = [
      { bn: `${device}:`, bt: RECEIVED / 1000, l: 'a link', n: 'soil_temperature', v: 17.2, u: 'Cel' },
      { n: 'soil_moisture', v: 30, u: '%', dis: { more: 1 } },
    ];
    const values = { soil_temperature: 17.2, soil_moisture: 30 };
    expect(decode('native', pack)).to.deep.include({ refused: [], skipped: 0 });
    expect(decode('native', pack).readings.map((one) => one.values)).to.deep.equal([values]);
    const [first = {}, second] = pack;
    const { n, v, u, ...base } = { n: '', v: 0, u: '', ...first };
    expect(decode('native', [base, { n, v, u }, second]).readings.map((one) => one.values)).to.deep.equal([values]);
    for (const native of [
      [{ n: 1, v: 2, note: 'x' }],
      [{ ts: RECEIVED, n: 'a', v: 1 }],
      [{ values: { v: 1 }, n: 'a' }],
    ]) {
      expect(decode('native', native).refused.map(({ reason }) => reason)).to.not.include('no_values');
    }
  });

  it('take a quantity in a text', () => {
    const pack = [
      { n: 'soil_temperature', vs: '62.6 °F' },
      { n: 'soil_moisture', vs: '0.31', u: '/' },
      { n: 'level', vs: '31,2' },
      { n: 'state', vs: 'open' },
    ];
    const { readings, refused, skipped } = decode('native', pack);
    expect(readings.map(({ values }) => values)).to.deep.equal([{ soil_temperature: 17, soil_moisture: 31 }]);
    expect(refused.map(({ reason, path }) => `${reason} ${path}`)).to.deep.equal(['not_a_number $[2]']);
    expect(skipped).to.equal(1);
  });

  it('in dBW are not in dBm', () => {
    expect(decode('native', [{ n: 'rssi', u: 'dBW', v: -120 }]).readings[0]?.values).to.deep.equal({ rssi: -90 });
    expect(decode('native', [{ n: device, u: 'dBW', v: -120 }]).readings[0]?.values).to.deep.equal({ rssi: -90 });
  });
});

describe('a SenML pack', () => {
  const other = 'urn:dev:ow:10e2073a01080064';
  const refusals = (pack: readonly object[]) =>
    decode('native', pack).refused.map(({ reason, path }) => `${reason} ${path}`);
  const values = (pack: readonly object[]) => decode('native', pack).readings.map((one) => one.values);

  it('is its topic’s sensor’s, whatever one device it names', () => {
    expect(
      values([
        { bn: `${device}:`, n: 'ec', v: 1 },
        { n: 'ph', v: 7 },
      ]),
    ).to.deep.equal([{ ec: 1, ph: 7 }]);
    expect(values([{ bn: 'urn:dev:ow:10e2073a0108006:', n: 'ec', v: 1 }])).to.deep.equal([{ ec: 1 }]);
  });

  it('of several devices is its topic’s sensor’s as far as it is named, and the rest is set aside', () => {
    const pack = [
      { bn: 'urn:dev:x:S-1:', n: 'ec', v: 1 },
      { bn: `${other}:`, n: 'ec', v: 2 },
      { n: 'ph', v: 7 },
    ];
    expect(values(pack)).to.deep.equal([{ ec: 1 }]);
    expect(refusals(pack)).to.deep.equal(['other_device $[1]', 'other_device $[2]']);
  });

  it('of several devices that are all others is set aside: nothing says whose its values are', () => {
    for (const pack of [
      [
        { bn: `${device}:`, n: 'ec', v: 1 },
        { bn: `${other}:`, n: 'ec', v: 2 },
      ],
      [
        { n: `${device}:ec`, v: 1 },
        { n: `${other}:ec`, v: 2 },
      ],
      [
        { n: device, u: 'Cel', v: 1 },
        { n: other, u: 'Cel', v: 2 },
      ],
    ]) {
      expect(values(pack)).to.deep.equal([]);
      expect(refusals(pack)).to.deep.equal(['other_device $[0]', 'other_device $[1]']);
    }
  });

  it('with base names that are no addresses has them in the names of its metrics', () => {
    const pack = [
      { bn: 'soil/', n: 'temp', v: 1 },
      { bn: 'air/', n: 'temp', v: 2 },
      { bn: '', n: 'ec', v: 3 },
    ];
    expect(values(pack)).to.deep.equal([{ soil_temperature: 1, air_temperature: 2, ec: 3 }]);
  });

  it('says of a metric that is there twice at one time that it is, each time', () => {
    const twice = decode('native', [
      { n: 'ec', v: 1 },
      { n: 'ec', v: 2 },
    ]);
    expect(twice.refused.map(({ reason, once }) => [reason, once])).to.deep.equal([['double_name', undefined]]);
  });
});
