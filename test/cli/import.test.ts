import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { adminToken } from '../../cli/data-folder.ts';
import { importCommand } from '../../cli/import.ts';
import { loadConfig } from '../../core/config.ts';
import { silent } from '../../core/logger.ts';
import { decodeLive } from '../../telemetry/batch.ts';
import { createValidate } from '../../workers/validate.ts';
import { Worker } from '../../workers/worker.ts';
import { Valve } from '../broker/harness.ts';
import { LoamProcess } from '../e2e/loam-process.ts';
import { call, Place, problemCode } from '../gateway/harness.ts';
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
    const validate = createValidate({ registry: place.registry });
    const { queue, store, live, dead } = place;
    const openTrials = () => Promise.reject(new Error('no trial here'));
    const worker = new Worker({ queue, store, live, dead, openTrials, validate, log: silent });
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

  it('shows a bar on a terminal and lines in a pipe, and waits with what it has while the queue takes nothing', async () => {
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
  });

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
      expect((await post('north', 's1', ada)).status).to.equal(202);
      expect(await place.queue.depth()).to.equal(1);
    } finally {
      await place.close();
    }
  });
});
