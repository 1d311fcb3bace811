import { expect } from 'chai';
import { UNIT_GROUPS } from '../../telemetry/unit-table.ts';
import { conversion, convert, groupUnit, isUnit } from '../../telemetry/units.ts';
import { projectFile, tableRows } from './house-table.ts';
import { decode, rules } from './telemetry-payloads.ts';

/** One of the first unit in the second, by definitions from outside. */
const ONE: readonly (readonly [from: string, to: string, value: number])[] = [
  ['m³', 'L', 1000],
  ['gal', 'L', 3.785411784],
  ['acre-ft', 'm³', 1233.4818375475],
  ['m³/h', 'L/min', 16.666666666667],
  ['gpm', 'L/min', 3.785411784],
  ['cfs', 'm³/s', 0.028316846592],
  ['mL/d', 'ML/d', 1e-9],
  ['ft', 'm', 0.3048],
  ['yd', 'm', 0.9144],
  ['inch', 'mm', 25.4],
  ['″', 'mm', 25.4],
  ['"Hg', 'inHg', 1],
  ['′', 'm', 0.3048],
  ['km', 'm', 1000],
  ['lb', 'kg', 0.45359237],
  ['t', 'kg', 1000],
  ['µg/m³', 'mg/m³', 0.001],
  ['mg/L', 'g/m³', 1],
  ['mg/m3', 'µg/L', 1],
  ['kWh', 'MJ', 3.6],
  ['Wh', 'J', 3600],
  ['MWh', 'kWh', 1000],
  ['mWh', 'kWh', 1e-6],
  ['MW', 'kW', 1000],
  ['mW', 'W', 0.001],
  ['inHg', 'hPa', 33.86388640341],
  ['mmHg', 'hPa', 1.33322387415],
  ['atm', 'hPa', 1013.25],
  ['mH2O', 'kPa', 9.80665],
  ['NTU', 'FNU', 1],
  ['kΩ', 'ohm', 1000],
  ['MΩ', 'mΩ', 1e9],
  ['mS', 'S', 0.001],
  ['rps', 'rpm', 60],
  ['klx', 'lx', 1000],
  ['fc', 'lx', 10.76391041671],
  ['mm/24h', 'mm/h', 0.041666666666667],
  ['week', 'd', 7],
  ['dBW', 'dBm', 31],
  ['J/cm²', 'MJ/m²', 0.01],
];

describe('a unit', () => {
  it('is converted into any other of its quantity, as others define them', () => {
    for (const [from, to, value] of ONE) {
      const there = conversion(from, to);
      const back = conversion(to, from);
      expect(there && convert(1, there), `${from} in ${to}`).to.equal(value);
      expect(back && convert(value, back), `${to} in ${from}`).to.be.closeTo(1, 1e-12);
    }
  });

  it('is one thing, and of symbols that differ in their case alone each is in the table', () => {
    const seen = new Map<string, string>();
    for (const [group, rows] of Object.entries(UNIT_GROUPS)) {
      for (const [symbols, factor, offset = 0] of rows) {
        for (const symbol of symbols.split(' ')) {
          const meaning = `${group} ${factor} ${offset}`;
          expect(seen.get(symbol) ?? meaning, symbol).to.equal(meaning);
          seen.set(symbol, meaning);
          const first = groupUnit(symbol);
          expect(first, symbol).to.equal(UNIT_GROUPS[group]?.[0]?.[0].split(' ')[0]);
        }
      }
    }
  });

  it('is in the protocol’s table, and no other', async () => {
    const rows = tableRows(await projectFile('docs/protocol-mqtt.md'), 'quantity');
    const expected = Object.entries(UNIT_GROUPS).map(([group, units]) => [
      group,
      units.map(([symbols]) => symbols.replace(/[^ ]+/g, '`$&`')).join(' · '),
    ]);
    expect(rows).to.deep.equal(expected);
  });

  it('is read without case where only one can be meant', () => {
    for (const symbol of ['KWH', 'inhg', 'LITRES', 'ntu', 'RPM', 'ml', 'mW'])
      expect(isUnit(symbol), symbol).to.equal(true);
    for (const symbol of ['mwh', 'MOHM', 'mohmM', 'ml/dd']) expect(isUnit(symbol), symbol).to.equal(false);
  });
});

describe('a metric that nobody has given a unit', () => {
  const taken = (value: unknown, by = rules()) => decode('thingsboard', { x: value }, by);
  const kept = (value: unknown, by = rules()) => taken(value, by).readings[0]?.values.x;

  it('is kept in the first unit of the group that its value is told in, whatever came before', () => {
    for (const [text, value] of [
      ['3 ft', 914.4],
      ['0.5 m³', 500],
      ['2 m³/h', 33.333333333333],
      ['12 mg/m³', 0.012],
      ['250 Wh', 0.25],
      ['77 °F', 25],
      ['29.92 inHg', 101.320748119],
    ] as const) {
      expect(kept(text), text).to.equal(value);
      const [number, unit] = text.split(' ');
      expect(kept({ value: Number(number), unit }), text).to.equal(value);
      const senml = decode('native', [{ n: 'x', v: Number(number), u: unit }]);
      expect(senml.readings[0]?.values.x, text).to.equal(value);
    }
    const by = rules();
    expect([kept('5 kg', by), kept('3 ft', by), kept(7, by), kept('91.44 cm', by)]).to.deep.equal([5, 914.4, 7, 914.4]);
  });

  it('is in the unit that the sensor’s entry says it sends', () => {
    expect(kept(3, rules('units: { x: ft }'))).to.equal(914.4);
    expect(taken('3 ft', rules('units: { x: ft }')).refused).to.deep.equal([]);
  });

  it('is found to mix units, or numbers with and without one, and all of it is stored', () => {
    for (const mixed of [
      ['3 ft', 3],
      [3, '3 ft'],
      ['3 ft', '5 kg'],
      ['3 foo', { value: 3, unit: 'bar' }],
    ]) {
      const by = rules();
      const found = mixed.map((value) =>
        taken(value, by).refused.map(({ reason, path, once }) => [reason, path, once]),
      );
      const unknown = mixed[0] === '3 foo';
      expect(found, JSON.stringify(mixed)).to.deep.equal([
        unknown ? [['wrong_unit', '$.x', undefined]] : [],
        unknown ? [] : [['mixed_units', '$.x', 'x']],
      ]);
    }
    for (const alike of [
      ['3 ft', '1 m', { value: 2, unit: 'inch' }],
      ['7.1 pH', 7.1, '7'],
      [1, true, '2'],
    ]) {
      const by = rules();
      for (const value of alike) expect(taken(value, by).refused, JSON.stringify(alike)).to.deep.equal([]);
    }
  });
});
