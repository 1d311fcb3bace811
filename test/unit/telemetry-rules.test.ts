import { expect } from 'chai';
import { CATALOGUE, MAKERS_NAMES } from '../../telemetry/catalogue.ts';
import { readTime } from '../../telemetry/clock.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { Rulebook, unitOf } from '../../telemetry/sensor-rules.ts';
import { conversion, convert } from '../../telemetry/units.ts';
import { code, projectFile, tableRows } from './house-table.ts';
import { decode, RECEIVED, rules } from './telemetry-payloads.ts';

/** Values of a native payload, or the reasons why there are none. */
function values(payload: object, sensor = '', metrics = ''): unknown {
  const { readings, refused } = decode('native', payload, rules(sensor, metrics));
  return readings[0]?.values ?? refused.map(({ reason }) => reason);
}

describe('units', () => {
  const cases: readonly [value: number, from: string, to: string, result: number][] = [
    [0.31, 'm³/m³', '%', 31],
    [0.31, 'm³⋅m⁻³', '% VWC', 31],
    [64.4, '°F', '°C', 18],
    [64.4, '℉', 'Cel', 18],
    [0, 'K', '°C', -273.15],
    [850, 'µS/cm', 'mS/cm', 0.85],
    [850, 'uS/cm', 'dS/m', 0.85],
    [0.085, 'S/m', 'mS/cm', 0.85],
    [33, 'cbar', 'kPa', 33],
    [5_000_000, 'mPa', 'kPa', 5],
    [-0.5, 'bar', 'kPa', -50],
    [3316, 'mV', 'V', 3.316],
    [1, 'in', 'mm', 25.4],
    [36, 'km/h', 'm/s', 10],
    [1013, 'mbar', 'hPa', 1013],
  ];
  for (const [value, from, to, result] of cases) {
    it(`${value} ${from} is ${result} ${to}`, () => {
      const change = conversion(from, to);
      expect(change && convert(value, change)).to.equal(result);
    });
  }

  it('that measure different things are not converted', () => {
    expect(conversion('°C', '%')).to.equal(undefined);
    expect(conversion('°C', 'parsec')).to.equal(undefined);
  });
});

describe('metrics', () => {
  it('that makers call otherwise are known, and kept in their usual unit', () => {
    expect(values({ soilTemp: 18, rh: 60, conduct_soil: 850 })).to.deep.equal({
      soil_temperature: 18,
      air_humidity: 60,
      ec: 0.85,
    });
  });

  it('are kept in the unit that the registry gives them', () => {
    const metrics = '{ id: soil_temperature, label: Soil, unit: °F }, { id: ec, label: EC, unit: µS/cm }';
    expect(values({ soil_temperature: 64.4, conduct_soil: 850 }, '', metrics)).to.deep.equal({
      soil_temperature: 64.4,
      ec: 850,
    });
    expect(values({ soil_temperature: 18 }, 'units: { soil_temperature: °C }', metrics)).to.deep.equal({
      soil_temperature: 64.4,
    });
  });

  it('take the sensor’s own aliases before the registry’s, and those before what Loam knows', () => {
    const metrics = '{ id: tension, label: Tension, unit: kPa, aliases: [swp] }, { id: vwc, label: Water }';
    expect(values({ SWP: 30, vwc: 0.3 }, '', metrics)).to.deep.equal({ tension: 30, vwc: 0.3 });
    expect(values({ swp: 30 }, 'aliases: { swp: depth }', metrics)).to.deep.equal({ depth: 30 });
    expect(values({ vwc: 30 })).to.deep.equal({ soil_moisture: 30 });
  });

  it('have the registry’s unit, else the catalogue’s, wherever they are shown', () => {
    const registry = parseRegistry('metrics: [{ id: ec, label: EC, unit: µS/cm }]');
    expect(['ec', 'soil_moisture', 'sap_flow'].map((metric) => unitOf(registry, metric))).to.deep.equal([
      'µS/cm',
      '%',
      '',
    ]);
  });

  it('that nobody knows are stored as they are', () => {
    expect(values({ sap_flow: 12.5 })).to.deep.equal({ sap_flow: 12.5 });
  });

  it('are refused outside of what can be measured, in whatever unit', () => {
    expect(values({ soil_moisture: 111 })).to.deep.equal(['implausible']);
    expect(values({ soil_temperature: 1000 }, 'units: { soil_temperature: K }')).to.deep.equal(['implausible']);
    expect(values({ soil_temperature: 100 }, '', '{ id: soil_temperature, label: Soil, unit: °F }')).to.deep.equal({
      soil_temperature: 100,
    });
    expect(values({ depth: 3 }, '', '{ id: depth, label: Depth, plausible: [0, 2] }')).to.deep.equal(['implausible']);
  });

  it('of one sensor are 64 over time; another sensor has its own', () => {
    const book = new Rulebook();
    const registry = parseRegistry('farms: [{ id: north, name: N, timezone: UTC }]');
    const first = book.of('north', 's1', registry);
    for (let i = 0; i < 64; i++) expect(decode('native', { [`m${i}`]: 1 }, first).readings).to.have.length(1);
    expect(decode('native', { m64: 1, m0: 2 }, first).refused.map(({ reason }) => reason)).to.deep.equal([
      'too_many_metrics',
    ]);
    const later = book.of('north', 's1', parseRegistry('farms: [{ id: north, name: N, timezone: UTC }]'));
    expect(decode('native', { m64: 1 }, later).readings, 'a new registry forgets nothing').to.deep.equal([]);
    expect(decode('native', { m64: 1 }, book.of('north', 's2', registry)).readings).to.have.length(1);
  });

  it('that only one farm knows are bounded by its quota, over all its sensors; those that are described or known are not', () => {
    const book = new Rulebook();
    const text = (names: number) => `farms:
  - { id: north, name: N, timezone: UTC, quotas: { names: ${names} } }
  - { id: south, name: S, timezone: UTC }
metrics: [{ id: sap, label: Sap }]`;
    let registry = parseRegistry(text(3));
    const send = (farm: string, sensor: string, payload: object) => {
      const { readings, refused } = decode('native', payload, book.of(farm, sensor, registry));
      return [Object.keys(readings[0]?.values ?? {}).length, ...refused.map(({ reason }) => reason)];
    };
    expect(send('north', 's1', { m1: 1, m2: 1, sap: 1, soil_moisture: 1 })).to.deep.equal([4]);
    expect(send('north', 's2', { m1: 1, m3: 1 }), 'a name that it has counts once').to.deep.equal([2]);
    expect(send('north', 's3', { m4: 1, m1: 1, battery: 3 })).to.deep.equal([2, 'too_many_metrics']);
    expect(send('south', 's3', { m4: 1, m5: 1, m6: 1, m7: 1 })).to.deep.equal([4]);
    registry = parseRegistry(text(4));
    expect(send('north', 's3', { m4: 1 }), 'a higher quota holds at once').to.deep.equal([1]);
  });

  it('of one sensor are its farm’s own: another farm that brings the same id uses up none of them', () => {
    const book = new Rulebook();
    const registry = parseRegistry(`farms:
  - { id: north, name: N, timezone: UTC }
  - { id: south, name: S, timezone: UTC }
sensors: [{ id: reg, farm: north, aliases: { swp: depth } }]`);
    for (let i = 0; i < 64; i++) decode('native', { [`m${i}`]: 1 }, book.of('north', 'stray', registry));
    expect(decode('native', { mine: 1 }, book.of('south', 'stray', registry)).readings).to.have.length(1);
    expect(decode('native', { mine: 1 }, book.of('north', 'stray', registry)).readings).to.have.length(0);
    // Nor are the wishes that one farm has for its sensor the other's.
    const values = (farm: string) => decode('native', { swp: 1 }, book.of(farm, 'reg', registry)).readings[0]?.values;
    expect(values('north')).to.deep.equal({ depth: 1 });
    expect(values('south')).to.deep.equal({ swp: 1 });
  });

  it('of the catalogue are on the page, with their units and ranges', async () => {
    const rows = tableRows(await projectFile('docs/protocol-mqtt.md'), 'metric');
    expect(rows.map(([id, , unit, range]) => [code(id), unit, range])).to.deep.equal(
      [...CATALOGUE.values()].map(({ id, unit, plausible: [least, most] }) => [id, unit, `${least} to ${most}`]),
    );
  });

  it('behind makers’ names exist, and no maker’s name is a metric of its own', () => {
    for (const [name, { metric, unit }] of MAKERS_NAMES) {
      expect(CATALOGUE.has(metric), metric).to.equal(true);
      expect(CATALOGUE.has(name), name).to.equal(false);
      if (unit) expect(conversion(unit, CATALOGUE.get(metric)?.unit ?? ''), name).to.not.equal(undefined);
    }
  });
});

describe('clocks', () => {
  const noon = Date.UTC(2026, 4, 1, 10);

  it('read what can only be a time', () => {
    const cases: readonly [given: unknown, time: number | undefined][] = [
      [noon, noon],
      [noon / 1000, noon],
      ['2026-05-01T10:00:00Z', noon],
      ['2026-05-01T10:00:00.123456Z', noon + 123],
      ['2026-05-01T12:00+02:00', noon],
      ['2026-05-01 05:30:00-0430', noon],
      ['2026-05-01T12:00:00', noon],
      ['2026-05-01 12:00', noon],
      ['2026-01-01T12:00', Date.UTC(2026, 0, 1, 11)],
      ['2026-05-01', Date.UTC(2026, 3, 30, 22)],
      ['01.05.2026 12:00', undefined],
      ['2026-02-29', undefined],
      ['2026-05-01T25:00', undefined],
      [Number.NaN, undefined],
      [null, undefined],
      [true, undefined],
    ];
    for (const [given, time] of cases) expect(readTime(given, 'Europe/Berlin'), String(given)).to.equal(time);
  });

  it('of devices are whole milliseconds, those of receipts and what hangs on them keep the count of the receipt', () => {
    const received = RECEIVED + 0.123;
    const times = (payload: unknown, by = rules()) =>
      decode('native', payload, by, received).readings.map(({ ts, deviceTs }) => [ts, deviceTs]);
    expect(times({ ec: 1 })).to.deep.equal([[received, undefined]]);
    expect(times({ ts: RECEIVED - 10 + 0.5, ec: 1 })).to.deep.equal([[RECEIVED - 10, undefined]]);
    expect(times({ ts: '2026-05-01T10:00:00.123456Z', ec: 1 })).to.deep.equal([[noon + 123, undefined]]);
    const lot = [1_000, 2_000, 5_000].map((ts) => ({ ts, ec: 1 }));
    expect(times(lot, rules('clock: receipt'))).to.deep.equal([
      [RECEIVED - 4_000 + 0.123, 1_000],
      [RECEIVED - 3_000 + 0.123, 2_000],
      [received, 5_000],
    ]);
  });

  it('of the farm count where a text names no zone', () => {
    const { readings } = decode('native', { ts: '2026-05-01T13:59', ec: 1 });
    expect(readings[0]?.ts).to.equal(Date.UTC(2026, 4, 1, 11, 59));
  });

  it('that are known to be wrong give way to the time of receipt', () => {
    const by = rules('clock: receipt');
    for (const ts of [RECEIVED + 86_400_000, 5, '1970-01-01T00:00:07Z', 'nonsense', null]) {
      const [reading] = decode('native', { ts, ec: 1 }, by).readings;
      expect(reading?.ts, String(ts)).to.equal(RECEIVED);
    }
    const [reading] = decode('native', { ts: RECEIVED + 86_400_000, ec: 1 }, by).readings;
    expect(reading?.deviceTs).to.equal(RECEIVED + 86_400_000);
  });

  it('that are known to be wrong still tell the distance between the readings of a payload', () => {
    const night = [60_000, 120_000, 180_000].map((ts) => ({ ts, ec: ts / 60_000 }));
    const { readings } = decode('native', night, rules('clock: receipt'));
    expect(readings.map(({ ts, deviceTs }) => [ts - RECEIVED, deviceTs])).to.deep.equal([
      [-120_000, 60_000],
      [-60_000, 120_000],
      [0, 180_000],
    ]);
  });

  it('that tell of two lives at once are refused in the older one', () => {
    const mixed = [
      { ts: 1, ec: 1 },
      { ts: Date.UTC(2199, 0, 1), ec: 2 },
    ];
    const { readings, refused } = decode('native', mixed, rules('clock: receipt'));
    expect([readings.length, refused.map(({ reason }) => reason)]).to.deep.equal([1, ['bad_time']]);
  });
});
