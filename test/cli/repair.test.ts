import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, lstat, mkdir, open, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { connectAsync } from 'mqtt';
import { z } from 'zod';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { ALL, collect } from '../backbone/store-readings.ts';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { itIfLong, shortOrLong } from '../services/length.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const BIN = fileURLToPath(new URL('../../cli/bin.js', import.meta.url));
const RUNNING = /Loam is running/;
const MQTT = /publish to (\S+) over MQTT/;
const OPS = /"ops":"(\S+?)"/;
/** A start beside other work. */
const LONG = { timeoutMs: 120_000 };
/** Readings that are stored, and readings that wait in the queue. */
const STORED = 30;
const QUEUED = 12;

const ready = z.object({
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), why: z.string().optional() })),
});
const figures = z.object({
  whole: z.number(),
  lost: z.number(),
  places: z.number(),
  from: z.number().optional(),
  to: z.number().optional(),
  sensors: z.array(z.object({ farm: z.string(), sensor: z.string() })),
});
const told = z.object({
  whole: z.boolean(),
  kept: z.string().optional(),
  brokenOff: z.string().optional(),
  findings: z.array(
    z.object({
      part: z.string(),
      path: z.string(),
      is: z.enum(['whole', 'note', 'damaged']),
      text: z.string(),
      figures: figures.optional(),
      mended: z.string().optional(),
    }),
  ),
});

const envOf = (data: string) => ({
  LOAM_DATA: data,
  LOAM_MQTT_PORT: '0',
  LOAM_HTTP_PORT: '0',
  LOAM_OPS_PORT: '0',
});

async function readyOf(loam: LoamProcess) {
  await loam.says(RUNNING);
  const [, address = ''] = await loam.says(OPS);
  return ready.parse(await (await fetch(`http://${address}/readyz`)).json()).checks;
}

/** Publishes readings with these numbers, and resolves when each was acknowledged. */
async function publish(loam: LoamProcess, secret: string, numbers: readonly number[]): Promise<void> {
  const [, mqtt = ''] = await loam.says(MQTT);
  const sensor = await until('the sensor connects', () =>
    connectAsync(`mqtt://${mqtt}`, { username: 'probe-1', password: secret, reconnectPeriod: 0 }).catch(
      () => undefined,
    ),
  );
  for (const number of numbers) {
    const text = JSON.stringify({ ts: BEGIN + number * 1_000, battery: number });
    await sensor.publishAsync('farms/farm/sensors/probe-1/telemetry', text, { qos: 1 });
  }
  await sensor.endAsync();
}

const BEGIN = Date.now() - 3_600_000;
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** The numbers of all stored readings, after Loam was stopped. */
async function storedIn(data: string): Promise<number[]> {
  const store = await openDuckdbStore(join(data, 'readings.duckdb'));
  const range = { ...ALL, to: Date.now() + 1e9 };
  const values = await collect(store.export({ farm: 'farm', sensors: ['probe-1'], ...range }));
  await store.close();
  return values.map(({ value }) => value).sort((a, b) => a - b);
}

async function filesOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await lstat(path)).isDirectory()) found.push(...(await filesOf(path)));
    else found.push(path);
  }
  return found.sort();
}

/** Names, contents, sizes and times of everything in a folder. */
async function stateOf(folder: string): Promise<string[]> {
  const files = await filesOf(folder);
  return await Promise.all(
    files.map(async (path) => {
      const { mtimeMs, size, ino } = await lstat(path);
      const hash = createHash('sha256')
        .update(await readFile(path))
        .digest('hex');
      return `${relative(folder, path)} ${ino} ${size} ${mtimeMs} ${hash}`;
    }),
  );
}

async function flip(path: string, at: number, length = 1): Promise<void> {
  const file = await open(path, 'r+');
  const bytes = Buffer.alloc(length);
  await file.read(bytes, 0, length, at);
  await file.write(
    bytes.map((byte) => byte ^ 0x5a),
    0,
    length,
    at,
  );
  await file.close();
}

async function repaired(data: string, ...args: string[]) {
  const { code, stdout, stderr } = await run(['repair', '--json', ...args], envOf(data));
  expect(stderr).to.equal('');
  return { code, ...told.parse(JSON.parse(stdout)) };
}

const damagedOf = ({ findings }: z.infer<typeof told>) => findings.filter(({ is }) => is === 'damaged');

describe('loam repair', function () {
  this.timeout(240_000);
  /** A data folder with readings in the store, the live log and the queue, as a killed Loam left it. Each test has a copy. */
  let template: string;
  let data: string;

  before(async () => {
    template = join(await temporaryFolder(), 'data');
    const env = envOf(template);
    let loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(RUNNING);
    const added = await run(['sensor', 'add', 'probe-1', '--farm', 'farm'], env);
    const [, secret = ''] = /password\s+(\S+)/.exec(added.stdout) ?? [];
    await loam.says(/registry reloaded/);
    await publish(loam, secret, numbers(0, STORED));
    await until(
      'all are stored',
      async () => {
        const [, address = ''] = await loam.says(OPS);
        const text = await (await fetch(`http://${address}/metrics`)).text();
        return /^loam_queue_depth 0$/m.test(text);
      },
      LONG,
    );
    expect(await loam.stop()).to.equal(0);

    // Without a store what is acknowledged stays in the queue.
    const store = join(template, 'readings.duckdb');
    const live = join(template, 'log', 'live', 'segments');
    const before = await temporaryFolder();
    await cp(live, before, { recursive: true });
    const whole = await readFile(store);
    await writeFile(store, 'no database');
    loam = new LoamProcess(['up', '--no-demo'], env);
    await publish(loam, secret, numbers(STORED, STORED + QUEUED));
    await loam.stop('SIGKILL');
    await writeFile(store, whole);
    // A worker announces what it cannot store. Here nothing else than the queue has it.
    await rm(live, { recursive: true });
    await cp(before, live, { recursive: true });
  });

  beforeEach(async () => {
    data = join(await temporaryFolder(), 'data');
    await cp(template, data, { recursive: true, preserveTimestamps: true });
  });

  const segment = async (folder: string, name: string, which = 0) => {
    const found = (await filesOf(join(data, folder, 'segments'))).filter((path) => path.includes(`/${name}-`));
    return found.at(which) ?? '';
  };

  /** Where the record is that has this reading. */
  const placeOf = async (path: string, number: number) => (await readFile(path)).indexOf(`"battery":${number}}`);

  /** `loam up` starts, names no damaged file, and has all these readings. */
  async function startsWith(expected: readonly number[]): Promise<void> {
    const loam = new LoamProcess(['up', '--no-demo'], envOf(data));
    try {
      const isUp = async () => (await readyOf(loam)).find(({ name }) => name === 'store')?.ok;
      await until('the store is up', isUp, LONG);
      expect((await readyOf(loam)).filter(({ name }) => name === 'files')).to.deep.equal([]);
      await until(
        'the queue is empty',
        async () => {
          const [, address = ''] = await loam.says(OPS);
          return /^loam_queue_depth 0$/m.test(await (await fetch(`http://${address}/metrics`)).text());
        },
        LONG,
      );
      expect(await loam.stop()).to.equal(0);
    } finally {
      await loam.stop('SIGKILL');
    }
    expect(await storedIn(data)).to.deep.equal(expected);
  }

  it('without --yes nothing at all is changed, damaged or not, and what is whole is told with its numbers', async () => {
    const before = await stateOf(data);
    const whole = await repaired(data);
    expect([whole.code, whole.whole, damagedOf(whole)]).to.deep.equal([0, true, []]);
    expect(await stateOf(data)).to.deep.equal(before);
    const of = (part: string) => whole.findings.find((finding) => finding.part === part && finding.is === 'whole');
    expect(of('queue')?.text).to.contain(`of which ${QUEUED} wait`);
    expect(of('store')?.figures?.whole).to.equal(STORED);
    expect(of('registry')?.text).to.contain('1 farm, 1 sensor, 1 user');

    const path = await segment('queue', 'messages');
    await flip(path, await placeOf(path, STORED + 3));
    await flip(join(data, 'readings.duckdb'), 100);
    await writeFile(join(data, 'registry.yaml'), '');
    const damaged = await stateOf(data);
    const looked = await run(['repair'], envOf(data));
    expect(looked.code).to.equal(1);
    expect(looked.stdout).to.contain('loam repair --yes');
    expect(await stateOf(data)).to.deep.equal(damaged);
  });

  it('names the messages of the queue that are lost, whose they were and when, and keeps all others', async () => {
    const path = await segment('queue', 'messages', -1);
    await flip(path, await placeOf(path, STORED + 3));
    await flip(path, await placeOf(path, STORED + 7));
    const original = await readFile(path);
    const report = await repaired(data, '--yes');
    const [finding, ...others] = damagedOf(report);
    expect([report.code, others]).to.deep.equal([0, []]);
    expect(finding?.figures).to.include({ lost: 2, places: 2 });
    expect(finding?.figures?.sensors).to.deep.equal([{ farm: 'farm', sensor: 'probe-1' }]);
    expect(finding?.figures?.from).to.be.within(BEGIN, Date.now());
    expect(finding?.text).to.contain('2 messages are lost').and.to.contain('farm/probe-1');
    const kept = report.kept ?? '';
    expect((await readFile(join(kept, relative(data, path)))).equals(original)).to.equal(true);
    expect(await readFile(join(kept, 'README.txt'), 'utf8')).to.contain('2 messages are lost');
    expect(damagedOf(await repaired(data))).to.deep.equal([]);
    await startsWith(numbers(0, STORED + QUEUED).filter((n) => n !== STORED + 3 && n !== STORED + 7));
  });

  it('mends damaged marks: nothing is lost, and nothing is stored twice', async () => {
    const marks = await segment('queue', 'marks', -1);
    await flip(marks, 0, 600);
    const report = await repaired(data, '--yes');
    expect(report.code).to.equal(0);
    expect(damagedOf(report).map(({ path }) => path)).to.deep.equal([marks]);
    expect(damagedOf(report)[0]?.text).to.contain('no message is lost');
    await startsWith(numbers(0, STORED + QUEUED));
  });

  itIfLong('mends header, index and records of logs', async () => {
    const live = await segment('log/live', 'entries');
    await flip(live, 20, 30);
    const commands = await segment('log/commands', 'entries');
    await flip(commands, 30, 4);
    const report = await repaired(data, '--yes');
    expect(report.code).to.equal(0);
    expect(damagedOf(report).map(({ path }) => path)).to.have.members([live, commands]);
    await startsWith(numbers(0, STORED + QUEUED));
  });

  it('a store whose beginning is damaged is put aside, and the next start has what the live log has', async () => {
    await writeFile(join(data, 'readings.duckdb'), 'no database');
    const report = await repaired(data, '--yes');
    expect([report.code, damagedOf(report).map(({ part }) => part)]).to.deep.equal([0, ['store']]);
    expect(await readFile(join(report.kept ?? '', 'readings.duckdb'), 'utf8')).to.equal('no database');
    await startsWith(numbers(0, STORED + QUEUED));
  });

  const wrecks = [
    ['emptied', (path: string) => truncate(path, 0)],
    ['broken', (path: string) => writeFile(path, 'farms: [')],
    ['deleted', (path: string) => rm(path)],
  ] as const;
  for (const [name, damage] of shortOrLong<readonly (typeof wrecks)[number][]>(wrecks.slice(0, 1), wrecks)) {
    it(`a registry that was ${name} is replaced by the last good one`, async () => {
      const path = join(data, 'registry.yaml');
      const good = await readFile(path, 'utf8');
      await damage(path);
      const looked = await repaired(data);
      expect([looked.code, damagedOf(looked).map(({ part }) => part)]).to.deep.equal([1, ['registry']]);
      expect(damagedOf(looked)[0]?.text).to.contain('1 farm, 1 sensor, 1 user');
      const report = await repaired(data, '--yes');
      expect(report.code).to.equal(0);
      expect(await readFile(path, 'utf8')).to.equal(good);
      expect(damagedOf(await repaired(data))).to.deep.equal([]);
      if (name === 'emptied') await startsWith(numbers(0, STORED + QUEUED));
    });
  }

  itIfLong(
    'an emptied session key is made anew at the next start; a secret key that is needed is never touched',
    async () => {
      await truncate(join(data, 'session-key'), 0);
      await writeFile(join(data, 'secret-key'), 'short');
      const report = await repaired(data, '--yes');
      expect(report.code).to.equal(0);
      expect(damagedOf(report).map(({ part, mended }) => [part, mended !== undefined])).to.deep.equal([
        ['session-key', true],
      ]);
      expect(await readFile(join(data, 'secret-key'), 'utf8')).to.equal('short');
      await startsWith(numbers(0, STORED + QUEUED));
      expect(await readFile(join(data, 'session-key'), 'utf8')).to.have.length.greaterThan(31);
    },
  );

  it('moves what was left over out of the way, and names files that it does not know, which it leaves alone', async () => {
    const left = ['queue/segments/messages-000000000099.seg.tmp', 'readings.duckdb.wal.unreadable'];
    for (const name of left) await writeFile(join(data, name), 'x');
    await mkdir(join(data, 'log/live/segments.new-1'));
    await writeFile(join(data, 'notes.txt'), 'mine');
    const report = await repaired(data, '--yes');
    expect(report.code).to.equal(0);
    const unknown = report.findings.filter(({ part }) => part === 'unknown').map(({ path }) => relative(data, path));
    expect(unknown).to.deep.equal(['notes.txt']);
    for (const name of left) expect(await readFile(join(report.kept ?? '', name), 'utf8')).to.equal('x');
    const there = (await filesOf(data)).map((path) => relative(data, path));
    expect(there).to.include('notes.txt').and.not.to.include.members(left);
  });

  it('exits with 2 while Loam runs, and when there is no data folder', async () => {
    const loam = new LoamProcess(['up', '--no-demo'], envOf(data));
    try {
      await loam.says(RUNNING);
      for (const args of [['repair'], ['repair', '--yes']]) {
        const { code, stderr } = await run(args, envOf(data));
        expect(code).to.equal(2);
        expect(stderr).to.contain('is in use by').and.to.contain('stop Loam first');
      }
    } finally {
      await loam.stop('SIGKILL');
    }
    expect((await run(['repair'], envOf(join(data, 'nowhere')))).code).to.equal(2);
  });

  it('what the system does not let it list it names in one line, and exits with 1', async () => {
    const data = await temporaryFolder();
    await writeFile(join(data, 'registry.yaml'), 'farms: [{ id: farm, name: Farm, timezone: UTC }]\n');
    for (const part of ['queue', join('log', 'live')]) {
      const closed = join(data, part, 'segments');
      await mkdir(join(data, part), { recursive: true });
      await symlink(closed, closed);
      const { code, stderr } = await run(['repair'], envOf(data));
      expect(code).to.equal(1);
      expect(stderr.trim().split('\n')).to.have.length(1);
      expect(stderr).to.contain('nothing was changed').and.to.contain(closed);
      await rm(closed);
    }
  });

  it('refused by the disk in the middle it says so and has lost nothing', async () => {
    const path = await segment('queue', 'messages', -1);
    await flip(path, await placeOf(path, STORED + 3));
    const original = await readFile(path);
    const env = { ...process.env, ...envOf(data) };
    const args = ['--fsize=600', process.execPath, BIN, 'repair', '--yes'];
    const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
      execFile('prlimit', args, { env }, (error, out) => resolve({ code: error?.code, stdout: out }));
    });
    expect(code, stdout).to.equal(1);
    expect(stdout).to.contain('Broken off').and.to.contain(path);
    expect((await readFile(path)).equals(original)).to.equal(true);
    expect((await repaired(data, '--yes')).code).to.equal(0);
    expect(damagedOf(await repaired(data))).to.deep.equal([]);
  });

  it('killed in the middle it has lost nothing, and the next one mends all', async () => {
    const damage = async () => {
      const path = await segment('queue', 'messages', -1);
      await flip(path, await placeOf(path, STORED + 3));
      await flip(await segment('log/live', 'entries'), 20, 30);
      await writeFile(join(data, 'registry.yaml'), '');
      await flip(await segment('queue', 'marks', -1), 0, 600);
      await rm(join(data, 'log/events'), { recursive: true });
    };
    await damage();
    const counted = await temporaryFolder();
    await cp(data, counted, { recursive: true, preserveTimestamps: true });
    const whole = await repaired(counted, '--yes');
    const kept = (await filesOf(whole.kept ?? '')).length;
    for (let files = 1; files < kept; files += shortOrLong(6, 1)) {
      if (files > 1) {
        await rm(data, { recursive: true });
        await cp(template, data, { recursive: true, preserveTimestamps: true });
        await damage();
      }
      const command = new LoamProcess(['repair', '--yes'], envOf(data));
      // Killed as soon as so many files are kept, or when it has ended before that was seen.
      await until(
        'files are kept',
        async () => {
          if (command.child.exitCode !== null) return true;
          const [folder] = (await readdir(data)).filter((name) => name.startsWith('repaired-'));
          return folder !== undefined && (await filesOf(join(data, folder))).length >= files;
        },
        { ...LONG, everyMs: 1 },
      );
      await command.stop('SIGKILL');
      const report = await repaired(data, '--yes');
      expect(report.code, `${files}`).to.equal(0);
      expect(damagedOf(await repaired(data))).to.deep.equal([]);
    }
    await startsWith(numbers(0, STORED + QUEUED).filter((n) => n !== STORED + 3));
  });
});
