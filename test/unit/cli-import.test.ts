import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { numberReader, timeReader, twiceReader } from '../../cli/import-cells.ts';
import { type CsvLine, linesOf, shapeOf } from '../../cli/import-file.ts';
import { HeldLines, RepeatedTimes } from '../../cli/import-repeats.ts';
import type { CsvRow } from '../../cli/import-rows.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { readRows } from '../../dashboard-gateway/import/rows.ts';
import { decodeBatch, encodeBatch } from '../../telemetry/batch.ts';
import { decodeImported, encodeImported } from '../../telemetry/imported.ts';
import { plainRules } from '../../telemetry/sensor-rules.ts';
import { temporaryFolder } from '../services/wait.ts';

async function read(text: string): Promise<{ lines: CsvLine[]; columns: readonly string[]; delimiter: string }> {
  const path = join(await temporaryFolder(), 'file.csv');
  await writeFile(path, text);
  const shape = await shapeOf(path);
  const lines: CsvLine[] = [];
  for await (const line of linesOf(path, shape)) lines.push(line);
  return { lines, columns: shape.columns, delimiter: shape.delimiter };
}

describe('a CSV file of the past', () => {
  it('may have a byte order mark, semicolons, quoted names and lines in its cells', async () => {
    const { lines, columns, delimiter } = await read('\uFEFFZeit;"Boden; oben";N\r\n1;"2,5";"a\r\nb"\r\n3;4;c\r\n');
    expect([delimiter, ...columns]).to.deep.equal([';', 'Zeit', 'Boden; oben', 'N']);
    expect(lines.map(({ number, cells }) => [number, cells])).to.deep.equal([
      [3, { Zeit: '1', 'Boden; oben': '2,5', N: 'a\nb' }],
      [4, { Zeit: '3', 'Boden; oben': '4', N: 'c' }],
    ]);
  });

  it('tells lines that are no CSV, and goes on behind them', async () => {
    const { lines } = await read('a,b\n1,2\n3\n4,5,6\n7,8\n');
    expect(lines.filter(({ cells }) => cells).map(({ cells }) => cells?.a)).to.deep.equal(['1', '7']);
    expect(lines.filter(({ cells }) => !cells).map(({ number }) => number)).to.deep.equal([3, 4]);
  });

  it('that is not there is named', async () => {
    const error = await shapeOf('/nowhere/file.csv').catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(ConfigInvalid);
  });

  it('has times in the zone that is said, and in the form that is said', () => {
    const berlin = timeReader('Europe/Berlin', 'DD.MM.YYYY HH:mm');
    expect(berlin('01.07.2024 02:00')).to.equal(Date.UTC(2024, 6, 1));
    expect(berlin('1.7.2024 2:00')).to.equal(Date.UTC(2024, 6, 1));
    expect(berlin('31.02.2024 02:00')).to.equal(undefined);
    expect(berlin('2024-07-01 02:00')).to.equal(undefined);
    const iso = timeReader('UTC');
    expect(iso('2024-07-01T00:00:00Z')).to.equal(Date.UTC(2024, 6, 1));
    expect(iso('1719792000')).to.equal(Date.UTC(2024, 6, 1));
    expect(iso('yesterday')).to.equal(undefined);
    const micros = Date.UTC(2024, 6, 1) + 0.001;
    expect(iso('2024-07-01T02:00:00.000001+02:00')).to.equal(micros);
    expect(iso('2024-07-01T00:00:00.0000019Z')).to.equal(micros);
    expect(iso('1719792000000.001')).to.equal(micros);
    expect(iso('1719792000.000001')).to.equal(micros);
    expect(() => timeReader('UTC', 'HH:mm')).to.throw('YYYY');
    expect(() => timeReader('UTC', 'DD.MM.YYYY DD')).to.throw('DD is in it twice');
    const glued = timeReader('UTC', 'DDMMYYYY');
    const days = ['01072024', '172024', '1172024', '1122024'].map(glued);
    expect(days).to.deep.equal([
      Date.UTC(2024, 6, 1),
      Date.UTC(2024, 6, 1),
      Date.UTC(2024, 6, 11),
      Date.UTC(2024, 1, 11),
    ]);
    const odd = timeReader('UTC', '[DD] MM*(YYYY)?.ss');
    expect(odd('[1] 7*(2024)?.59')).to.equal(Date.UTC(2024, 6, 1, 0, 0, 59));
    for (const other of ['1 7*(2024)?.59', '[1] 7(2024).59', '[1] 7*(2024)?x59', '[1] 7*(2024)?.59 ']) {
      expect(odd(other), other).to.equal(undefined);
    }
  });

  it('has numbers with a point, or a comma', () => {
    expect(['1', '-2.5', '.5', '1e3', '1,5', '0x10', '', 'NaN'].map(numberReader(false))).to.deep.equal([
      1,
      -2.5,
      0.5,
      1000,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(['1,5', '1.234,5'].map(numberReader(true))).to.deep.equal([1.5, undefined]);
  });

  it('becomes readings in the metrics’ units, and bad values are refused with their line', () => {
    const now = Date.UTC(2024, 6, 1);
    const rows = [
      [2, now - 1_000, { soil_temperature: 50, note: 1 }],
      [3, now - 500, { soil_temperature: 9_999 }],
      [4, now + 3_600_000, { soil_temperature: 50 }],
      [5, 5, { soil_temperature: 50 }],
      [6, now, {}],
    ] as const;
    const { readings, refused } = readRows(rows, { soil_temperature: '°F' }, plainRules(), now);
    expect(readings).to.deep.equal([{ ts: now - 1_000, values: { soil_temperature: 10, note: 1 } }]);
    expect(refused.map(({ line, reason }) => [line, reason])).to.deep.equal([
      [3, 'implausible'],
      [4, 'future_time'],
      [5, 'bad_time'],
      [6, 'no_values'],
    ]);
  });

  it('names what would overwrite a value of another line, also under another name of its metric, and rounds times to microseconds', () => {
    const now = Date.UTC(2024, 6, 1);
    const rows = [
      [2, now - 1_000, { soil_moisture: 20, n: 1 }],
      [3, now - 1_000 + 0.0003, { 'Soil moisture': 25, o: 2 }],
      [4, now - 1_000, { soil_moisture: 20 }],
    ] as const;
    const { readings, refused } = readRows(rows, {}, plainRules(), now);
    expect(readings.map(({ ts, values }) => [ts - now, values])).to.deep.equal([
      [-1_000, { soil_moisture: 20, n: 1 }],
      [-1_000, { o: 2 }],
      [-1_000, { soil_moisture: 20 }],
    ]);
    expect(refused.map(({ line, reason }) => [line, reason])).to.deep.equal([[3, 'double_time']]);
  });

  it('has values of their own in the microseconds of one millisecond', () => {
    const now = Date.UTC(2024, 6, 1);
    const rows = [
      [2, now, { soil_moisture: 20 }],
      [3, now + 0.001, { soil_moisture: 21 }],
      [4, now + 0.999, { soil_moisture: 22 }],
    ] as const;
    const { readings, refused } = readRows(rows, {}, plainRules(), now);
    expect(refused).to.deep.equal([]);
    expect(readings.map(({ ts, values }) => [ts, values.soil_moisture])).to.deep.equal([
      [now, 20],
      [now + 0.001, 21],
      [now + 0.999, 22],
    ]);
    const place = { farm: 'north', field: 'f1', sensor: 's1', topic: 'x', received: now };
    const read = decodeImported({ ...place, payload: encodeImported(readings) });
    expect(read.readings.map(({ ts, values }) => ({ ts, values }))).to.deep.equal(readings);
  });

  it('goes through the queue as it is, marked as no news', () => {
    const place = { farm: 'north', field: 'f1', sensor: 's1', topic: 'x', received: Date.UTC(2024, 6, 1) };
    const payload = encodeImported([{ ts: 946_684_800_000, values: { soil_temperature: 95 } }]);
    const batch = decodeBatch(encodeBatch({ id: 'b', publishes: [{ ...place, payload }], origin: 'import' }));
    expect(batch.origin).to.equal('import');
    const [publish] = batch.publishes;
    const read = publish && decodeImported(publish);
    expect(read?.readings).to.deep.equal([
      {
        farm: 'north',
        sensor: 's1',
        ts: 946_684_800_000,
        received: place.received,
        values: { soil_temperature: 95 },
        backfill: true,
      },
    ]);
    const broken = decodeImported({ ...place, payload: Buffer.from('[{"ts":1}]') });
    expect(broken.readings).to.have.length(0);
    expect(broken.refused).to.have.length(1);
  });
});

describe('lines of one time', () => {
  /** Seconds of a day that no other line has, in no order. */
  const scattered = (count: number) => Array.from({ length: count }, (_, i) => ((i * 7_919) % count) * 1_000);
  const row = (line: number, ts: number, values: Record<string, number>): CsvRow => [line, ts, values];

  function timesOf(rows: readonly CsvRow[], bytes: number): RepeatedTimes {
    const times = new RepeatedTimes(bytes);
    for (const one of rows) times.look(one);
    return times;
  }

  it('are found however far apart they stand, and hardly any other time is taken for one', () => {
    const alone = scattered(50_000);
    const twice = alone.filter((_, i) => i % 500 === 0);
    const rows = [...alone, ...twice].map((ts, i) => row(i + 2, ts, { t: i }));
    const times = timesOf(rows, rows.length * 30);
    expect(twice.filter((ts) => !times.has(ts))).to.deep.equal([]);
    expect(alone.filter((ts) => times.has(ts)).length).to.be.within(twice.length, twice.length + 100);
  });

  it('are none within one millisecond where each has its own microsecond', () => {
    const places = scattered(1_000).map((at) => 1_719_792_000_000 + at / 1_000_000);
    const times = timesOf(
      places.map((ts, i) => row(i, ts, { t: i })),
      places.length * 30,
    );
    expect(places.filter((ts) => times.has(ts)).length).to.be.below(20);
  });

  it('are none where each has another metric', () => {
    const rows = scattered(1_000).flatMap((ts, i) => [row(2 * i, ts, { t: 1 }), row(2 * i + 1, ts, { u: 1 })]);
    const times = timesOf(rows, rows.length * 30);
    expect(rows.filter(([, ts]) => times.has(ts)).length).to.be.below(20);
  });

  it('take no more memory in a file in order, however long it is, than in a short one', () => {
    const times = new RepeatedTimes(1);
    const count = 300_000;
    for (let i = 0; i < count; i++) times.look(row(i, i * 1_000, { t: i }));
    let found = 0;
    for (let i = 0; i < count; i++) if (times.has(i * 1_000)) found++;
    expect(found, 'all bits are set, and nothing is repeated').to.equal(0);
  });

  it('are too many from 100,001 on: the file is refused before a line is sent', () => {
    const times = new RepeatedTimes(1_000);
    for (let i = 0; i <= 100_000; i++) times.look(row(i, 0, { t: i }));
    expect(() => times.look(row(100_001, 0, { t: 1 }))).to.throw(ConfigInvalid, 'line 100001');
  });

  it('are all refused when they contradict each other, each with another’s number, and taken when they do not', () => {
    const held = new HeldLines({ time: 'Time', zone: 'Europe/Berlin' });
    const lines = [
      row(2, 1, { t: 1, rain: 0 }),
      row(3, 1, { t: 1 }),
      row(4, 1, { rain: 5 }),
      row(5, 2, { t: 1, rain: 0 }),
      row(6, 2, { t: 1 }),
      row(7, 2, { wind: 3 }),
      row(9, 3, { constructor: 1 }),
      row(8, 3, { t: 7 }),
      row(11, 4, { t: 7 }),
      row(12, 4, { t: 7 }),
      row(10, 4, { t: 8 }),
    ];
    for (const one of lines) held.add(one, one[1] === 4);
    const { rows, refused } = held.settle();
    expect(rows.map(([line]) => line)).to.have.members([3, 5, 6, 7, 8, 9]);
    const words = ({ explanation }: { explanation: string }) =>
      /^line (\d+) has another (\w+) /.exec(explanation)?.slice(1);
    expect(refused.map((one) => [one.line, ...(words(one) ?? [])])).to.deep.equal([
      [2, '4', 'rain'],
      [4, '2', 'rain'],
      [10, '11', 't'],
      [11, '10', 't'],
      [12, '10', 't'],
    ]);
    expect(refused.map(({ reason, path }) => `${reason} ${path}`)).to.deep.equal(Array(5).fill('double_time Time'));
    expect(refused.map(({ explanation }) => explanation.includes('Europe/Berlin'))).to.deep.equal([
      false,
      false,
      true,
      true,
      true,
    ]);
  });

  it('are known to be of the hour that comes twice when the clocks go back, unless the time says which of the two', () => {
    const shown = (zone: string, cell: string, format?: string) => {
      const ts = timeReader(zone, format)(cell);
      return ts === undefined ? undefined : twiceReader(zone, format)(cell, ts);
    };
    expect(
      ['01:59', '02:00', '02:59', '03:00'].map((time) => shown('Europe/Berlin', `2026-10-25 ${time}`)),
    ).to.deep.equal([false, true, true, false]);
    expect(shown('Europe/Berlin', '25.10.2026 02:30', 'DD.MM.YYYY HH:mm')).to.equal(true);
    expect(shown('Europe/Berlin', '2026-10-25T02:30+02:00')).to.equal(false);
    expect(shown('Europe/Berlin', '2026-10-25T00:30Z')).to.equal(false);
    expect(shown('Europe/Berlin', String(Date.UTC(2026, 9, 25, 0, 30)))).to.equal(false);
    expect(shown('Europe/Berlin', '2026-03-29 02:30'), 'an hour that is left out').to.equal(false);
    expect(shown('America/Los_Angeles', '2021-11-07T01:30:00')).to.equal(true);
    expect(shown('Atlantic/Azores', '2026-10-25 00:30')).to.equal(true);
    expect(shown('Australia/Lord_Howe', '2026-04-05 01:45')).to.equal(true);
    expect(shown('UTC', '2026-10-25 02:30')).to.equal(false);
  });
});
