import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openImportFile } from '../../cli/import-file.ts';
import type { ImportPlan } from '../../cli/import-plan.ts';
import { HeldLines, RepeatedTimes } from '../../cli/import-repeats.ts';
import { type CsvRow, rowsOf } from '../../cli/import-rows.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { readRows } from '../../dashboard-gateway/import/rows.ts';
import { decodeBatch, encodeBatch } from '../../telemetry/batch.ts';
import { decodeImported, encodeImported } from '../../telemetry/imported.ts';
import { numbersReader } from '../../telemetry/logger-files/number-cells.ts';
import { timesReader } from '../../telemetry/logger-files/time-cells.ts';
import { plainRules } from '../../telemetry/sensor-rules.ts';
import { temporaryFolder } from '../services/wait.ts';

describe('a CSV file of the past', () => {
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

describe('every line of a file', () => {
  it('is a row, a refusal, or says that it has no value: whatever quotes, cells and times stand in it', async () => {
    const folder = await temporaryFolder();
    const cells = ['1', '2,5', '', '---', '"', '"7"', '"a', 'b"', '"a;b"', 'x', '9 %', '\u0000', '""', '5;6', '"\n"'];
    const times = ['2026-10-25 02:30', '2026-10-25 02:00', '2026-03-29 02:30', '2026-01-01 00:00', 'never', '"', ''];
    for (let seed = 1; seed <= 60; seed++) {
      let state = seed;
      const one = (list: readonly string[]) => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return list[Math.floor((state / 2 ** 32) * list.length)] ?? '';
      };
      const text = Array.from({ length: 40 }, () => `${one(times)};${one(cells)};${one(cells)}`).join('\n');
      const path = join(folder, `${seed}.csv`);
      await writeFile(path, `time;m;n\n${text}\n`);
      const file = await openImportFile(path, { time: ['time'] });
      const read = numbersReader({ comma: true, unit: '%' });
      const column = {
        metric: 'm',
        sensor: undefined,
        unit: undefined,
        missing: [],
        reader: () => read,
        read,
        allowed: '',
      };
      const readTimes = timesReader('Europe/Berlin', 'iso');
      const plan: ImportPlan = {
        file,
        farm: 'north',
        sensor: 's1',
        named: undefined,
        zone: 'Europe/Berlin',
        timeName: 'time',
        allowedTime: '',
        readTimes,
        readShown: timesReader('UTC', 'iso'),
        columns: [
          { ...column, place: 1, name: 'm' },
          { ...column, place: 2, name: 'n', metric: 'n' },
        ],
        written: '',
        unitOf: () => undefined,
      };
      const told = new Set<number>();
      const numbers: number[] = [];
      for await (const { rows, refused } of rowsOf(plan)) {
        for (const [line] of rows) numbers.push(line);
        for (const { line } of refused) numbers.push(line);
      }
      for (const line of numbers) told.add(line);
      expect(told.size, `seed ${seed}: a line is told once`).to.equal(numbers.length);
      const isBare = (line: string) => /^[\d: -]+;(?:|---|"");(?:|---|"")$/.test(line) || line === '';
      const untold = text.split('\n').filter((line, i) => !told.has(i + 2) && !isBare(line));
      // A cell that goes over the end of its line takes that of the next with it.
      expect(
        untold.filter((line) => !/^".*|"$/.test(line)),
        `seed ${seed}`,
      ).to.deep.equal([]);
    }
  });
});

describe('lines of one time', () => {
  /** Seconds of a day that no other line has, in no order. */
  const scattered = (count: number) => Array.from({ length: count }, (_, i) => ((i * 7_919) % count) * 1_000);
  const row = (line: number, ts: number, values: Record<string, number>): CsvRow => [line, ts, values, 's1'];

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
    const held = new HeldLines({ timeName: 'Time', zone: 'Europe/Berlin' });
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
    for (const one of lines) held.add(one);
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
    const night = Date.UTC(2026, 9, 25, 0, 30);
    held.add(row(20, night, { t: 1 }));
    held.add(row(21, night, { t: 2 }));
    expect(held.settle().refused.map(({ explanation }) => explanation.includes('Europe/Berlin'))).to.deep.equal([
      true,
      true,
    ]);
    expect(refused.some(({ explanation }) => explanation.includes('Europe/Berlin'))).to.equal(false);
  });
});
