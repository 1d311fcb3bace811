import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { importCommand } from '../../cli/import.ts';
import { loadConfig } from '../../core/config.ts';
import { ConfigInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { adminToken } from '../../roles/data-folder.ts';
import { decodeBatch, decodeLive } from '../../telemetry/batch.ts';
import { decodeImported } from '../../telemetry/imported.ts';
import { Worker } from '../../workers/worker.ts';
import { Valve } from '../broker/harness.ts';
import { LoamProcess } from '../e2e/loam-process.ts';
import { call, Place, problemCode } from '../gateway/harness.ts';
import { itIfLong } from '../services/length.ts';
import { until } from '../services/wait.ts';

const BEGIN = Date.UTC(2024, 0, 1);
const LINES = 10_000;

/** A logger's file: a BOM, semicolons, decimal commas, quotes, °F, times of the farm's clocks, and a bad line now and then. */
function loggerFile(): string {
  const lines = ['\uFEFFZeit;"Boden; oben";Regen;Notiz'];
  for (let i = 0; i < LINES; i++) {
    // Berlin's clocks are an hour ahead in winter, two in March's last night: the file ends before it.
    const at = new Date(BEGIN + i * 600_000 + 3_600_000).toISOString();
    const [, year, month, day, time] = /^(\d+)-(\d+)-(\d+)T(\d+:\d+)/.exec(at) ?? [];
    const when = i === 17 ? 'gestern' : `${day}.${month}.${year} ${time}`;
    const value = i === 42 ? 'defekt' : i === 43 ? '9999' : `"${(50 + (i % 20) / 2).toFixed(1).replace('.', ',')}"`;
    lines.push(i === 99 ? 'nur;zwei' : `${when};${value};0,2;"say ""hello"""`);
  }
  return `${lines.join('\r\n')}\r\n`;
}

/** A gateway on `queue`, a file in the place's folder, and `loam import` of that file through it. */
async function importing(place: Place, queue: Valve) {
  const gateway = await place.gateway({ queue, adminToken: await adminToken(loadConfig({ data: place.folder }, {})) });
  const file = join(place.folder, 'logger.csv');
  const names = ['--farm', 'north', '--sensor', 's1', '--time', 'time', '--map', 'moisture=moisture'];
  const env = { LOAM_DATA: place.folder, LOAM_URL: gateway.url };
  return {
    port: gateway.port,
    file,
    start: (where: 'terminal' | 'pipe' = 'pipe') => new LoamProcess(['import', file, ...names], env, where),
  };
}

describe('loam import', function () {
  this.timeout(60_000);

  it('takes a logger’s file with its units and clocks, tells bad lines by their numbers, and twice is once', async () => {
    const place = await Place.open();
    const { queue, store, live, dead } = place;
    const openTrials = () => Promise.reject(new Error('no trial here'));
    const worker = new Worker({ queue, store, live, dead, openTrials, registry: place.registry, log: silent });
    try {
      const gateway = await place.gateway({ adminToken: await adminToken(loadConfig({ data: place.folder }, {})) });
      await worker.start();
      const file = join(place.folder, 'logger.csv');
      const report = join(place.folder, 'refused.csv');
      await writeFile(file, loggerFile());
      const options = {
        data: place.folder,
        url: gateway.url,
        farm: 'north',
        sensor: 's1',
        time: 'Zeit',
        timeFormat: 'DD.MM.YYYY HH:mm',
        map: ['Boden; oben=soil_temperature', 'Regen=rain'],
        unit: ['soil_temperature=°F'],
        report,
      };
      const cookie = await place.signIn(gateway, 'vera');
      const history = async (): Promise<number> => {
        const range = `from=${BEGIN}&to=${BEGIN + LINES * 600_000}&points=100`;
        const path = `/api/farms/north/history?sensor=s1&metric=rain&${range}`;
        const answer = await call(gateway.port, path, { headers: { cookie } });
        const { rows }: { rows: number[][] } = JSON.parse(answer.text);
        return rows.reduce((sum, row) => sum + (row[5] ?? 0), 0);
      };
      expect(await history(), 'kept by the gateway').to.equal(0);
      for (const time of ['first', 'second']) {
        expect(await importCommand(file, options), time).to.equal(1);
        await until('the queue is empty', async () => (await queue.depth()) === 0);
        await until('the gateway’s history has it', async () => (await history()) === LINES - 3);
      }
      const refused = (await readFile(report, 'utf8')).trim().split('\n').slice(1);
      expect(refused.map((line) => [Number(line.split(',')[0]), line.split(',')[2]])).to.have.deep.members([
        [19, 'bad_time'],
        [44, 'not_a_number'],
        [45, 'implausible'],
        [101, 'not_csv'],
      ]);
      const points = { temperature: 0, rain: 0 };
      const query = { farm: 'north', sensors: ['s1'], from: BEGIN, to: BEGIN + LINES * 600_000 };
      for await (const row of store.export(query, new AbortController().signal)) {
        if (row.metric === 'rain') points.rain++;
        else points.temperature++;
        if (row.ts === BEGIN && row.metric === 'soil_temperature') expect(row.value).to.be.closeTo(10, 1e-9);
      }
      // Of the line with an implausible temperature the rain is taken.
      expect(points).to.deep.equal({ temperature: LINES - 4, rain: LINES - 3 });
      const entries = (await live.read('first', 100)).map(({ body }) => decodeLive(body));
      expect(
        entries.flatMap(({ readings }) => readings),
        'nothing is news',
      ).to.deep.equal([]);
      expect(entries.flatMap(({ changed = [] }) => changed)).to.have.length.greaterThan(5);
    } finally {
      await worker.stop(5_000);
      await place.close();
    }
  });

  it('of what Loam exported makes the same points again, also those of one millisecond', async () => {
    const place = await Place.open();
    const { queue, store, live, dead } = place;
    const openTrials = () => Promise.reject(new Error('no trial here'));
    const worker = new Worker({ queue, store, live, dead, openTrials, registry: place.registry, log: silent });
    try {
      const gateway = await place.gateway({ adminToken: await adminToken(loadConfig({ data: place.folder }, {})) });
      await worker.start();
      const times = [0, 0.001, 0.123, 0.999, 1, 1.5, 60_000.25].map((ms) => BEGIN + ms);
      await store.write(
        times.map((ts, i) => ({ farm: 'north', sensor: 's1', ts, received: ts, values: { moisture: i + 0.5 } })),
      );
      const cookie = await place.signIn(gateway, 'vera');
      const path = '/api/farms/north/export.csv?sensor=s1&metric=moisture';
      const range = `from=${BEGIN}&to=${BEGIN + 3_600_000}`;
      const exported = await call(gateway.port, `${path}&${range}`, { headers: { cookie } });
      const file = join(place.folder, 'exported.csv');
      await writeFile(file, exported.text);
      const stored = async (sensor: string) => {
        const values: [number, number][] = [];
        const query = { farm: 'north', sensors: [sensor], from: BEGIN, to: BEGIN + 3_600_000 };
        for await (const { ts, value } of store.export(query)) values.push([ts, value]);
        return values;
      };
      const expected = times.map((ts, i) => [ts, i + 0.5]);
      for (const sensor of ['s1', 's2']) {
        const where = { data: place.folder, url: gateway.url, farm: 'north', sensor };
        expect(await importCommand(file, { ...where, time: 'measured', map: ['value=moisture'] })).to.equal(0);
        await until('the points are there', async () => (await stored(sensor)).length === times.length);
        await until('the queue is empty', async () => (await queue.depth()) === 0);
        expect(await stored(sensor), sensor).to.deep.equal(expected);
      }
    } finally {
      await worker.stop(5_000);
      await place.close();
    }
  });

  itIfLong(
    'shows a bar on a terminal and lines in a pipe, and waits with what it has while the queue takes nothing',
    async () => {
      const place = await Place.open();
      const queue = new Valve(place.queue);
      try {
        const { port, file, start } = await importing(place, queue);
        const lines = Array.from({ length: 3 * LINES }, (_, i) => `${BEGIN + i * 1_000},30`);
        await writeFile(file, ['time,moisture', ...lines, 'never,30'].join('\n'));
        for (const where of ['terminal', 'pipe'] as const) {
          queue.hold();
          const running = start(where);
          const said = () => running.stdout + running.stderr;
          const furthest = () => Math.max(0, ...[...said().matchAll(/(\d+) %/g)].map(([, percent]) => Number(percent)));
          await until('a piece of the file is on its way', () => queue.heldNow === 1, { timeoutMs: 30_000 });
          // Whatever else it would do meanwhile, it would do before these are answered.
          for (let i = 0; i < 20; i++) await call(port, '/healthz');
          expect(queue.heldNow, 'one piece at a time').to.equal(1);
          expect(furthest(), said()).to.be.below(20);
          queue.letGo();
          expect(await running.ended, said()).to.equal(1);
          expect(said())
            .to.match(/30000 lines imported for s1, 1 refusals/)
            .and.to.match(/line 30002: time: "never"/);
          expect(furthest()).to.equal(100);
          expect(/importing .*[█=]/.test(said()), 'a bar').to.equal(where === 'terminal');
          expect(said().includes('\u001b'), 'a terminal’s control characters').to.equal(where === 'terminal');
          expect(/^50 % read, \d+ lines imported$/m.test(said()), 'lines').to.equal(where === 'pipe');
        }
      } finally {
        queue.letGo();
        await place.close();
      }
    },
  );

  it('goes on by itself when the queue is full or away for a while, and says what it waits for', async () => {
    const place = await Place.open();
    const queue = new Valve(place.queue);
    try {
      const { file, start } = await importing(place, queue);
      await writeFile(file, `time,moisture\n${BEGIN},30\n`);
      queue.refuse('full');
      const running = start();
      await running.says(/waiting: .*the queue is full \(busy\)/);
      queue.accept();
      expect(await running.ended).to.equal(0);
      expect(running.stdout).to.match(/1 lines imported for s1, 0 refusals/);
    } finally {
      await place.close();
    }
  });

  /** `loam import` of a text for sensor s1: how it ended, what of it is in the queue, and what was refused. */
  async function imported(lines: readonly string[], options: { map: string[] }, farm = 'north', sensor = 's1') {
    const place = await Place.open();
    try {
      const gateway = await place.gateway({ adminToken: await adminToken(loadConfig({ data: place.folder }, {})) });
      const file = join(place.folder, 'file.csv');
      const report = join(place.folder, 'refused.csv');
      await writeFile(file, `${lines.join('\n')}\n`);
      const where = { data: place.folder, url: gateway.url, farm, sensor, report, time: 'time' };
      const ended = await importCommand(file, { ...where, ...options });
      const values: [number, Readonly<Record<string, number>>][] = [];
      const consumer = await place.queue.consume(
        async ({ body }) => {
          const read = decodeBatch(body).publishes.flatMap((publish) => decodeImported(publish).readings);
          for (const reading of read) values.push([reading.ts, reading.values]);
        },
        { prefetch: 1 },
      );
      await until('the queue is empty', async () => (await place.queue.depth()) === 0);
      await consumer.stop();
      const refused = (await readFile(report, 'utf8')).trim().split('\n').slice(1);
      return { ended, values: values.sort(([a], [b]) => a - b), refused };
    } finally {
      await place.close();
    }
  }

  /** The numbers of the lines in a report, with the reason of each. */
  const numbers = (refused: readonly string[]) => refused.map((line) => line.split(',').slice(0, 3).join(' '));

  it('takes the lines of the hour that comes twice in autumn by their order, and by their offsets', async () => {
    const hours = (values: readonly [number, Readonly<Record<string, number>>][], name: string) =>
      values.map(([ts, of]) => [new Date(ts).toISOString().slice(11, 16), of[name]]);
    const times = ['01:30', '02:00', '02:30', '02:00', '02:30', '03:00'];
    const night = ['time,m', ...times.map((time, i) => `2025-10-26 ${time},${20 + i}`)];
    const berlin = await imported(night, { map: ['m=moisture'] });
    expect([berlin.ended, ...berlin.refused]).to.deep.equal([0]);
    const [first, ...others] = ['23:30', '00:00', '00:30', '01:00', '01:30', '02:00'].map((at, i) => [at, 20 + i]);
    expect(hours(berlin.values, 'moisture')).to.deep.equal([first, ...others]);
    const one = [
      'time,t',
      '2021-11-07T00:30:00,10',
      '2021-11-07T01:30:00,11',
      '2021-11-07T01:30:00,12',
      '2021-11-07T02:30:00,13',
    ];
    const newYork = await imported(one, { map: ['t=soil_temperature'] }, 'south', 't1');
    expect(hours(newYork.values, 'soil_temperature')).to.deep.equal([
      ['04:30', 10],
      ['05:30', 11],
      ['06:30', 12],
      ['07:30', 13],
    ]);
    const lines = ['time,m', '2021-11-07T01:30:00-04:00,11', '2021-11-07T01:30:00-05:00,12'];
    const offsets = await imported(lines, { map: ['m=moisture'] }, 'south', 't1');
    expect([offsets.ended, offsets.values.length], 'with their offsets').to.deep.equal([0, 2]);
  });

  it('refuses a line of the hour that the clocks skip in spring, and takes the one that it would have overwritten', async () => {
    const times = ['01:30', '02:30', '03:00', '03:30'];
    const night = ['time,m', ...times.map((time, i) => `2025-03-30 ${time},${20 + i}`)];
    const { values, refused } = await imported(night, { map: ['m=moisture'] });
    expect(numbers(refused)).to.deep.equal(['3 time bad_time']);
    expect(refused[0]).to.include('skipped').and.to.include('--zone');
    expect(values.map(([, { moisture }]) => moisture)).to.deep.equal([20, 22, 23]);
  });

  it('refuses the lines of that hour when they go back and forth', async () => {
    const times = ['01:45', '02:00', '02:45', '02:30', '02:50', '02:10', '03:15'];
    const night = ['time,m', ...times.map((time, i) => `2025-10-26 ${time},${20 + i}`)];
    const { ended, values, refused } = await imported(night, { map: ['m=moisture'] });
    expect(ended).to.equal(1);
    expect(numbers(refused)).to.deep.equal([3, 4, 5, 6, 7].map((line) => `${line} time double_time`));
    expect(refused[0]).to.include('Europe/Berlin showed its time twice');
    expect(values.map(([, { moisture }]) => moisture)).to.deep.equal([20, 26]);
  });

  it('refuses lines of one time that would overwrite each other, however far apart, and takes those that say the same', async () => {
    const at = (minute: number) => new Date(BEGIN + minute * 60_000).toISOString();
    const many = Array.from({ length: 3_000 }, (_, i) => `${at(i)},${i % 50},1`);
    const { ended, values, refused } = await imported(
      ['time,m,n', ...many, `${at(0)},0,1`, `${at(1)},49,`, `${at(2)},,7`, `${at(3_000)},5,`, `${at(3_000)},,6`],
      { map: ['m=moisture', 'n=note'] },
    );
    expect(ended).to.equal(1);
    expect(numbers(refused)).to.deep.equal([3, 4, 3_003, 3_004].map((line) => `${line} time double_time`));
    expect(refused[0]).to.include('line 3003 has another moisture').and.not.to.include('twice');
    const taken = values.map(([ts]) => (ts - BEGIN) / 60_000);
    const expected = [0, 0, ...Array.from({ length: 2_997 }, (_, i) => i + 3), 3_000, 3_000];
    expect(taken).to.deep.equal(expected);
  });

  it('is not begun with two columns of one name, a column mapped twice, or two columns for one metric', async () => {
    const place = await Place.open();
    try {
      const gateway = await place.gateway({ adminToken: await adminToken(loadConfig({ data: place.folder }, {})) });
      const file = join(place.folder, 'file.csv');
      await writeFile(file, 'time,m,t,m\n2024-01-01T00:00:00Z,1,2,3\n');
      const where = { data: place.folder, url: gateway.url, farm: 'north', sensor: 's1', time: 'time' };
      const refused = async (options: Record<string, unknown>, ...words: string[]) => {
        const error: unknown = await importCommand(file, { ...where, ...options }).catch((caught: unknown) => caught);
        expect(error).to.be.instanceOf(ConfigInvalid);
        for (const word of words) expect(String(error)).to.include(word);
      };
      await refused({ map: ['m=moisture'] }, '"m"', '2 and 4');
      await refused({ map: ['t=note'], time: 'm' }, '--time', '2 and 4');
      await refused({ map: ['t=note', 't=moisture'] }, '"t" is mapped twice');
      await refused({ map: ['t=soilTemp', 'time=soil_temp'] }, '"t" and "time"', 'soil_temp');
      await refused({ map: ['t=note'], unit: ['note=V', 'note=mV'] }, 'note is given two units');
      expect(await place.queue.depth()).to.equal(0);
      expect(await importCommand(file, { ...where, map: ['t=note'] }), 'nobody asked for the two').to.equal(0);
      expect(await place.queue.depth()).to.equal(1);
    } finally {
      await place.close();
    }
  });

  it('stops at lines that were added to the file while it was at work, and says so', async () => {
    const place = await Place.open();
    const queue = new Valve(place.queue);
    try {
      const { file, start } = await importing(place, queue);
      const lines = Array.from({ length: 3 * LINES }, (_, i) => `${BEGIN + i * 1_000},30`);
      await writeFile(file, `${['time,moisture', ...lines].join('\n')}\n`);
      queue.hold();
      const running = start();
      await until('a piece of the file is on its way', () => queue.heldNow === 1, { timeoutMs: 30_000 });
      await appendFile(file, `${BEGIN},31\n${BEGIN - 1_000},30\n`);
      queue.letGo();
      expect(await running.ended).to.equal(1);
      expect(running.stdout).to.match(/30000 lines imported for s1, 1 refusals/);
      expect(running.stderr).to.match(/line 30002: line: the file has grown/);
    } finally {
      queue.letGo();
      await place.close();
    }
  });

  it('says how many values overwrite others, when there are any', async () => {
    const place = await Place.open();
    try {
      const reading = { farm: 'north', sensor: 's1', received: BEGIN };
      const stored = Array.from({ length: 4 }, (_, i) => ({
        ...reading,
        ts: BEGIN + i * 60_000,
        values: { moisture: 30 },
      }));
      await place.store.write(stored);
      const { file, start } = await importing(place, new Valve(place.queue));
      const rows = stored.map(({ ts }, i) => `${ts},${i < 2 ? 30 : 31}`);
      await writeFile(file, `time,moisture\n${rows.join('\n')}\n`);
      const running = start();
      expect(await running.ended).to.equal(0);
      expect(running.stdout).to.equal(
        '4 lines imported for s1, 0 refusals\n2 values overwrite others: the event log has both\n',
      );
      await writeFile(file, `time,moisture\n${BEGIN + 86_400_000},30\n`);
      const other = start();
      expect(await other.ended).to.equal(0);
      expect(other.stdout).to.equal('1 lines imported for s1, 0 refusals\n');
    } finally {
      await place.close();
    }
  });

  it('is refused to a viewer, on a farm that is not theirs and without a sign-in, and nothing is sent', async () => {
    const place = await Place.open();
    try {
      const gateway = await place.gateway();
      const vera = { cookie: await place.signIn(gateway, 'vera') };
      const ada = { cookie: await place.signIn(gateway, 'ada') };
      const post = (farm: string, sensor: string, headers: Record<string, string>) =>
        call(gateway.port, `/api/farms/${farm}/import`, {
          method: 'POST',
          headers,
          body: { sensor, rows: [[1, BEGIN, { moisture: 30 }]] },
        });
      expect(problemCode(await post('north', 's1', vera))).to.equal('forbidden');
      expect(problemCode(await post('south', 't1', vera))).to.equal('forbidden');
      expect(problemCode(await post('north', 's1', {}))).to.equal('not-signed-in');
      expect(problemCode(await post('north', 't1', ada)), 'a sensor of another farm').to.equal('not-found');
      expect(await place.queue.depth()).to.equal(0);
      const preview = (headers: Record<string, string>, ts: number) =>
        call(gateway.port, '/api/farms/north/import', {
          method: 'POST',
          headers,
          body: { sensor: 's1', preview: true, rows: [[7, ts, { moisture: 30 }]] },
        });
      expect(problemCode(await preview(vera, BEGIN)), 'nor does a viewer preview').to.equal('forbidden');
      const shown = {
        accepted: 1,
        refused: [],
        overwritten: 0,
        unchanged: 0,
        readings: [[7, BEGIN, { moisture: 30 }]],
      };
      expect(JSON.parse((await preview(ada, BEGIN)).text)).to.deep.equal(shown);
      expect(JSON.parse((await preview(ada, 5)).text)).to.deep.include({ accepted: 0, readings: [] });
      expect(await place.queue.depth()).to.equal(0);
      expect((await post('north', 's1', ada)).status).to.equal(202);
      expect(await place.queue.depth()).to.equal(1);
    } finally {
      await place.close();
    }
  });
});
