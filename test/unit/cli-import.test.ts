import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { numberReader, timeReader } from '../../cli/import-cells.ts';
import { type Line, linesOf, shapeOf } from '../../cli/import-file.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { readRows } from '../../dashboard-gateway/import/rows.ts';
import { decodeBatch, encodeBatch } from '../../telemetry/batch.ts';
import { decodeImported, encodeImported } from '../../telemetry/imported.ts';
import { plainRules } from '../../telemetry/rules.ts';
import { temporaryFolder } from '../services/wait.ts';

async function read(text: string): Promise<{ lines: Line[]; columns: readonly string[]; delimiter: string }> {
  const path = join(await temporaryFolder(), 'file.csv');
  await writeFile(path, text);
  const shape = await shapeOf(path);
  const lines: Line[] = [];
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
    expect(() => timeReader('UTC', 'HH:mm')).to.throw('YYYY');
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
