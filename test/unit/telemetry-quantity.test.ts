import { expect } from 'chai';
import { explain } from '../../core/errors.ts';
import { readTime } from '../../telemetry/clock.ts';
import { quantityIn } from '../../telemetry/formats/quantity.ts';
import { numberReader } from '../../telemetry/logger-files/number-cells.ts';
import { formatReader, timesReader } from '../../telemetry/logger-files/time-cells.ts';
import { conversion, isUnit } from '../../telemetry/units.ts';
import { chirpstackUplink, decode, rules, ttnUplink } from './telemetry-payloads.ts';

/** A quantity as `number|unit`. */
function said(text: string): string | undefined {
  const quantity = quantityIn(text);
  if (quantity === undefined || quantity === 'comma') return quantity;
  return `${quantity.number}|${quantity.unit ?? ''}`;
}

describe('a text', () => {
  const QUANTITIES: Record<string, string> = {
    '30.11 °C': '30.11|°C',
    '64.4°F': '64.4|°F',
    ' -3 ': '-3|',
    '−3 °C': '-3|°C',
    '+.5 V': '0.5|V',
    '5.': '5|',
    '-2.5e1': '-25|',
    '1E3': '1000|',
    '12E+3 Pa': '12000|Pa',
    '1.2e3 lx': '1200|lx',
    '45 % RH': '45|% RH',
    '12.5 µg/m³': '12.5|µg/m³',
    '12.5\u00a0μg⋅m⁻³': '12.5|μg⋅m⁻³',
    '1234.5 L': '1234.5|L',
    '5L': '5|L',
    '29.92 inHg': '29.92|inHg',
    '2.5inH2O': '2.5|inH2O',
    '12 mm Hg': '12|mm Hg',
    '3 ft': '3|ft',
    '12m3/h': '12|m3/h',
    '7kg/m³': '7|kg/m³',
    '3.2 mg/(L·h)': '3.2|mg/(L·h)',
    '80 /min': '80|/min',
    '4.7 kΩ': '4.7|kΩ',
    '21.5 (°C)': '21.5|°C',
    '21.5 [°C]': '21.5|°C',
    '–5 °C': '-5|°C',
    '21.5\u200b °C': '21.5|°C',
    '12 sec.': '12|sec',
    '45 % r.F.': '45|% r.F',
    '12.3 Vol.-%': '12.3|Vol.-%',
    '12 / min': '12|/ min',
    '418 ppm CO₂': '418|ppm CO₂',
    '12 µS/cm at 25 °C': '12|µS/cm',
    '12 µS/cm @25C': '12|µS/cm',
    '2.5 mm/24h': '2.5|mm/24h',
    '12 l/10min': '12|l/10min',
    '5 €': '5|€',
    '5€': '5|€',
    '30.1 "Hg': '30.1|"Hg',
    '13W': '13|W',
    // Nobody can tell these from units: they are set aside.
    '12345 Berlin': '12345|Berlin',
    '7 Stück': '7|Stück',
  };

  it('that is a number, and behind it what looks like a unit, is a quantity, whether Loam knows the unit or not', () => {
    for (const [text, expected] of Object.entries(QUANTITIES)) expect(said(text), text).to.equal(expected);
  });

  it('that only begins with a number is none: dates, versions, serial numbers, addresses, words', () => {
    const texts = [
      ...['', ' ', '-', 'OPEN', 'NaN', 'n/a', 'true', 'v1.2.3', '1.2.3', '1.2 release', '1.2b', '2.0rc1', '1.0-beta'],
      ...[
        '2026-05-01',
        '2026-05-01T12:00:00Z',
        '20260501T120000',
        '1 May 2026',
        '31 Dec',
        '1 may',
        '3 Sept.',
        '12. January',
        '12:30',
        '12:30:15',
        '1h30m',
        '10 am',
        '3 p.m.',
      ],
      ...[
        '241408E4',
        '241408e4',
        '12AB34',
        '12AB3',
        '12 AB34',
        '24E4XY',
        '0012345678F',
        '0106101C2700000107108E1B0000',
      ],
      ...['70b3d57ed0001234', '00:1A:2B:3C:4D:5E', '00-1A-FF', '01 A2 FF', '0x1F', '0xAB', '12abcdef', '3q2+7w=='],
      ...[
        '123e4567-e89b-12d3-a456-426614174000',
        '192.168.0.1',
        '1/2',
        '4-20mA',
        '3 of 5',
        '4G',
        '2x',
        '1st',
        '0 (OK)',
      ],
      ...['12 o’clock', "12 o'clock", '5 days 3 hours', '52.523,13.405', '1,2,3', '2 of the four probes are wet'],
    ];
    for (const text of texts) expect(said(text), text).to.equal(undefined);
  });

  it('whose number has a comma is known for that: nobody can say what the comma is', () => {
    const grouped = ['1 013.2 hPa', '1’013,2 hPa', '1.000.000 Pa', '1.2·10³ Pa', '1,2x10^3 Pa', '1 013 hPa'];
    for (const text of grouped) expect(said(text), text).to.equal('comma');
    for (const text of ['31,2', '-3,5', '31,2 %', '1.031,5', '1,234.5', '1,234,567 L', '12,5 µg/m³']) {
      expect(said(text), text).to.equal('comma');
    }
  });

  it('that is a limit, an estimate, has a tolerance or is one of several is known for that, too', () => {
    const texts = [
      '<0.05 mg/L',
      '> 100 NTU',
      '≥ 3',
      '~5 °C',
      'ca. 5 °C',
      '± 2',
      '€ 5',
      '31.2 ±0.5 °C',
      '31.2 °C +/- 0.5',
    ];
    for (const text of [...texts, '21.5 °C, 45 %', '21.5°C/45%', '21.5 °C 45 %'])
      expect(said(text), text).to.equal('comma');
    for (const text of ['<b>', '< none', '10 + 5', '5 days 3 hours']) expect(said(text), text).to.equal(undefined);
  });

  it('of more than 64 characters is no quantity, no time, no number and no unit', () => {
    const digits = '1'.repeat(64);
    expect(said(digits)).to.equal(`${Number(digits)}|`);
    expect(said(`${digits}1`)).to.equal(undefined);
    expect(said(`0.${'0'.repeat(60)}1 V`)).to.equal(undefined);
    expect(said('12.5 °C'.padEnd(64))).to.equal('12.5|°C');
    for (const filling of [' ', '\u200b', '\u00a0']) expect(said('12.5 °C'.padEnd(65, filling))).to.equal(undefined);
    expect(numberReader(false)(digits)).to.equal(Number(digits));
    expect(numberReader(false)(`${digits}1`)).to.equal(undefined);
    const date = '2024-07-01T00:00:00';
    expect(readTime(`${date}${' '.repeat(44)}Z`, 'UTC')).to.equal(Date.UTC(2024, 6, 1));
    expect(readTime(`${date}${' '.repeat(45)}Z`, 'UTC')).to.equal(undefined);
    expect(timesReader('UTC', 'iso')(`1719792000${'0'.repeat(55)}`)).to.deep.equal([]);
    const unit = 'm3'.padEnd(32);
    expect([isUnit(unit.replace('m3', 'ms')), isUnit(`${unit} `.replace('m3', 'ms'))]).to.deep.equal([true, false]);
    expect(conversion('l'.repeat(33), 'l'.repeat(33))).to.equal(undefined);
  });
});

describe('work on what others wrote', () => {
  // Where a pattern tries again at every character, each of these takes minutes.
  const DIGITS = '1'.repeat(60_000);
  const tail = 'x'.repeat(40);

  it('grows with its length and no faster: numbers in texts', () => {
    for (const text of [DIGITS + tail, `${DIGITS}.${tail}`, `.${DIGITS}${tail}`, `-${DIGITS}e${DIGITS}${tail}`]) {
      expect(decode('thingsboard', { a: text, b: 1 })).to.deep.include({ refused: [], skipped: 1 });
      expect(decode('ttn', ttnUplink({ decoded_payload: { a: { value: text, unit: 'V' }, b: 1 } })).skipped).to.equal(
        1,
      );
    }
  });

  it('grows with its length and no faster: cells of a file', () => {
    for (const comma of [true, false]) {
      for (const cell of [DIGITS + tail, `${DIGITS}.${tail}`, `${DIGITS}e${DIGITS}${tail}`]) {
        expect(numberReader(comma)(cell)).to.equal(undefined);
      }
    }
    for (const read of [timesReader('UTC', 'day-first'), formatReader('UTC', 'DD.MM.YYYY HH:mm')]) {
      for (const cell of [DIGITS + tail, `2024-07-01${' '.repeat(60_000)}${tail}`]) {
        expect(read(cell)).to.deep.equal([]);
      }
    }
  });

  it('grows with its length and no faster: a name or unit that stands for every record of a SenML pack', () => {
    const records = Array.from({ length: 3_900 }, () => ({ v: 1 }));
    for (const base of [{ bn: `a${':'.repeat(32_000)}` }, { bn: 'a'.repeat(32_000) }]) {
      const { readings, refused } = decode('native', [{ ...base, v: 1 }, ...records]);
      expect(readings).to.deep.equal([]);
      expect(new Set(refused.map(({ reason }) => reason))).to.deep.equal(new Set(['bad_name', 'more_refused']));
    }
    const { refused } = decode('native', [{ bn: 'ec', bu: 'µ'.repeat(16_000), v: 1 }, ...records]);
    expect(new Set(refused.map(({ reason }) => reason))).to.deep.equal(new Set(['wrong_unit', 'more_refused']));
  });

  it('grows with its length and no faster: a long name that is part of the name of many values', function () {
    this.timeout(20_000);
    // Copied for each of them, it takes minutes.
    const long = 'a'.repeat(16 * 1024 ** 2);
    const records = Array.from({ length: 9_000 }, (_, i) => ({ n: `m${i}`, v: 1 }));
    const values = Object.fromEntries(records.map(({ n }) => [n, 1]));
    for (const decoded of [
      decode('native', [{ bn: long, ...records[0] }, ...records]),
      decode('ttn', ttnUplink({ decoded_payload: { [long]: values } })),
    ]) {
      expect(decoded.readings).to.deep.equal([]);
      expect(new Set(decoded.refused.map(({ reason }) => reason))).to.include('bad_name');
      expect(decoded.refused[0]?.explanation).to.match(/^"a{64}…" /);
    }
  });

  it('grows with its length and no faster: the text of an error', () => {
    expect(explain(new Error(`a${' '.repeat(300_000)}b`))).to.have.length(300_002);
    expect(explain(new Error('a \n\n  b\tc  d', { cause: new Error('e\n') }))).to.equal('a b\tc  d: e ');
  });
});

describe('a quantity in a unit that nobody knows', () => {
  const object = {
    soil_moisture: '31 %',
    water_meter: '1234.5 foo',
    air_pressure: '29.92 furlongs',
    pm: '12 µg/foo',
    level: '31,2',
    serial: '241408E4',
    state: 'OPEN',
  };
  const refusals = (path: string) => [
    `wrong_unit ${path}.water_meter`,
    `wrong_unit ${path}.air_pressure`,
    `wrong_unit ${path}.pm`,
    `not_a_number ${path}.level`,
  ];

  it('is set aside by its name in every format that takes texts, and the other values are taken', () => {
    const forms = {
      thingsboard: [object, '$'],
      ttn: [ttnUplink({ decoded_payload: object, rx_metadata: [] }), '$.uplink_message.decoded_payload'],
      chirpstack: [chirpstackUplink({ object, rxInfo: [] }), '$.object'],
    } as const;
    for (const form of ['thingsboard', 'ttn', 'chirpstack'] as const) {
      const [payload, path] = forms[form];
      const { readings, refused, skipped } = decode(form, payload);
      expect(
        readings.map(({ values }) => values),
        form,
      ).to.deep.equal([{ soil_moisture: 31 }]);
      expect(
        refused.map((one) => `${one.reason} ${one.path}`),
        form,
      ).to.deep.equal(refusals(path));
      expect(skipped, form).to.equal(2);
    }
  });

  it('is taken when the registry gives its metric that unit, in whichever way the unit is written', () => {
    const own = rules('', '{ id: pm, label: PM2.5, unit: µg/m³ }');
    for (const text of ['12 µg/m³', '12 μg/m3', '12µg/m³']) {
      expect(decode('thingsboard', { pm: text }, own).readings[0]?.values, text).to.deep.equal({ pm: 12 });
    }
    expect(decode('thingsboard', { pm: '12 ppm' }, own).refused[0]?.reason).to.equal('wrong_unit');
    const foo = rules('', '{ id: pm, label: PM2.5, unit: foo }');
    expect(decode('thingsboard', { pm: '12 foo' }, foo).readings[0]?.values).to.deep.equal({ pm: 12 });
  });

  it('is taken as it is from an object that says which is which, unless the metric has a unit of its own', () => {
    const quantity = (value: unknown, unit: string) => ({ value, unit });
    const payload = { flow: quantity(2.5, 'L'), volume: quantity('7', 'L'), soil_temperature: quantity(60, '°R') };
    const { readings, refused } = decode('thingsboard', payload);
    expect(readings[0]?.values).to.deep.equal({ flow: 2.5, volume: 7 });
    expect(refused.map(({ reason, path }) => `${reason} ${path}`)).to.deep.equal(['wrong_unit $.soil_temperature']);
  });

  it('does not pass for the metric’s own in SenML either', () => {
    const { readings, refused } = decode('native', [
      { n: 'soil_temperature', v: 60, u: '°R' },
      { n: 'ec', v: 1, u: '' },
      { n: 'water_meter', v: 5, u: 'l' },
    ]);
    expect(readings[0]?.values).to.deep.equal({ ec: 1, water_meter: 5 });
    expect(refused.map(({ reason, path }) => `${reason} ${path}`)).to.deep.equal(['wrong_unit $[0]']);
  });
});
