import { spawn, spawnSync } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { Disks, NoRoom } from '../../backbone/files/disk.ts';
import { LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { LogUnavailable, QueueUnavailable, StoreUnavailable } from '../../core/errors.ts';
import { Metrics } from '../../core/metrics.ts';
import { shortOrLong } from '../services/length.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { nodeArguments, root } from './child-process.ts';
import { DecidedDisks } from './disk-room.ts';
import { rejection } from './numbered.ts';
import { everything, numbered } from './store-readings.ts';

describe('a disk that fills up', () => {
  let folder: string;
  let decided: DecidedDisks;
  const opened: { close(): Promise<void> }[] = [];

  beforeEach(async () => {
    folder = await temporaryFolder();
    decided = new DecidedDisks();
  });

  afterEach(async () => {
    decided.free = decided.total;
    for (const port of opened.splice(0)) await port.close();
  });

  /** Closed after the test, if the test does not. */
  async function opening<T extends { close(): Promise<void> }>(port: Promise<T>): Promise<T> {
    const open = await port;
    opened.push(open);
    return open;
  }

  it('refuses first what sensors bring, then work, and last that work is done', async () => {
    const disk = await decided.disks.at(folder);
    const end = disk.hold();
    const refusedAt = async (free: number) => {
      decided.free = free;
      const refused: string[] = [];
      for (const use of ['incoming', 'work', 'done'] as const) {
        await until('a look at it', async () => {
          await disk.assertRoom('done').catch(() => {});
          return disk.room?.free === free;
        });
        if ((await rejection(disk.assertRoom(use))) instanceof NoRoom) refused.push(use);
      }
      return refused;
    };
    expect(await refusedAt(65e6)).to.deep.equal([]);
    expect(await refusedAt(63e6)).to.deep.equal(['incoming']);
    expect(await refusedAt(33e6)).to.deep.equal(['incoming']);
    expect(await refusedAt(31e6)).to.deep.equal(['incoming', 'work']);
    expect(await refusedAt(17e6)).to.deep.equal(['incoming', 'work']);
    expect(await refusedAt(15e6)).to.deep.equal(['incoming', 'work', 'done']);
    // Not at the limit, where it would begin and end all the time.
    expect(await refusedAt(70e6)).to.deep.equal(['incoming']);
    expect(await refusedAt(90e6)).to.deep.equal([]);
    expect(disk.refusals).to.include({ incoming: 6, work: 3 });
    end();
  });

  it('of a small file system an eighth is kept free, and where nobody can say what is free nothing is refused', async () => {
    decided.total = 32e6;
    decided.free = 4.1e6;
    const small = await decided.disks.at(folder);
    await small.assertRoom('incoming');
    expect(small.reserve).to.equal(4e6);
    for (const readRoom of [async () => ({ total: 0, free: 0 }), () => Promise.reject(new Error('ENOSYS'))]) {
      await (await new Disks({ readRoom }).at(folder)).assertRoom('incoming');
    }
  });

  it('is looked at as the file system tells it', async () => {
    const disk = await new Disks().at(folder);
    await disk.assertRoom('done');
    const { blocks, bfree, bavail, bsize } = await statfs(folder);
    const { total = 0, free = 0 } = disk.room ?? {};
    // Beside this test others write, by some MB.
    expect(total).to.be.closeTo((blocks - bfree + bavail) * bsize, 1e9);
    expect(free).to.be.within(1, total);
  });

  it('is said once when it begins and once when it ends, is a line of /readyz as long, and is measured', async () => {
    const metrics = new Metrics();
    decided.disks.count(metrics);
    expect(decided.disks.health()).to.deep.equal([]);
    const queue = await opening(openFileQueue(folder, undefined, decided.disks));
    expect(decided.disks.health()).to.deep.equal([{ name: 'disk', ok: true }]);
    decided.free = 41e6;
    await until('it to be seen without a write', () => decided.disks.health()[0]?.ok === false);
    const [line] = decided.disks.health(true);
    expect(line?.optional).to.equal(true);
    expect(line?.why).to.include('only 41 MB are left').and.to.include('64 MB are kept free').and.to.include(folder);
    for (let n = 0; n < 3; n++) await rejection(queue.publish(Buffer.from('x')));
    const text = await metrics.text();
    expect(text).to.include('loam_disk_free_bytes 41000000\n').and.to.include('loam_disk_reserve_bytes 64000000\n');
    expect(text).to.include('loam_disk_refusals_total{event="incoming"} 3\n');
    decided.free = 400e6;
    await until('it to be over', () => decided.disks.health()[0]?.ok);
    expect(decided.events).to.deep.equal(['disk_filling', 'disk_low', 'disk_emptied', 'disk_back']);
    await queue.close();
    expect(decided.disks.health()).to.deep.equal([]);
  });

  it('refuses publishes with QueueUnavailable while what is there is worked off, and takes them again by itself', async () => {
    const queue = await opening(openFileQueue(folder, undefined, decided.disks));
    for (let n = 0; n < 10; n++) await queue.publish(Buffer.from(String(n)));
    decided.free = 41e6;
    await until(
      'a refusal',
      async () => (await rejection(queue.publish(Buffer.from('late')))) instanceof QueueUnavailable,
    );
    const { length } = await taken(queue, async () => (await queue.depth()) === 0);
    expect(length).to.be.at.least(10);
    decided.free = 400e6;
    await until(
      'a publish to be taken',
      async () => (await rejection(queue.publish(Buffer.from('again')))) === undefined,
    );
    await queue.close();
  });

  it('acknowledgements that find no room wait for it: nothing is delivered twice, and nothing is lost', async () => {
    const queue = await opening(openFileQueue(folder, undefined, decided.disks));
    for (let n = 0; n < 10; n++) await queue.publish(Buffer.from(String(n)));
    decided.free = 10e6;
    const disk = await decided.disks.at(folder);
    await until('no room', () => disk.room?.free === 10e6);
    const bodies: string[] = [];
    const consumer = await queue.consume(async ({ body }) => void bodies.push(String(Buffer.from(body))), {
      prefetch: 10,
    });
    await until('acknowledgements to be refused', () => disk.refusals.done > 0);
    expect(await queue.depth()).to.equal(10);
    decided.free = 400e6;
    await until('an empty queue', async () => (await queue.depth()) === 0);
    expect(bodies.sort()).to.deep.equal(Array.from({ length: 10 }, (_, n) => String(n)));
    await consumer.stop();
    await queue.close();
  });

  it('refuses to open what it has no room to open', async () => {
    decided.free = 10e6;
    expect(await rejection(openFileQueue(join(folder, 'q'), undefined, decided.disks))).to.be.instanceOf(
      QueueUnavailable,
    );
    const log = openFileLog(folder, 'log', LIVE_LOG_LIMITS, decided.disks);
    expect(await rejection(log)).to.be.instanceOf(LogUnavailable);
    decided.free = 400e6;
    await until('it to be opened', async () => {
      await (await openFileQueue(join(folder, 'q'), undefined, decided.disks)).close();
      return true;
    });
  });

  it('a log refuses entries with LogUnavailable at half the reserve, is down then, and up again by itself', async () => {
    const log = await opening(openFileLog(folder, 'log', LIVE_LOG_LIMITS, decided.disks));
    await log.append(Buffer.from('0'));
    decided.free = 41e6;
    const disk = await decided.disks.at(folder);
    await until('less than the reserve', () => disk.room?.free === 41e6);
    await log.append(Buffer.from('1'));
    decided.free = 31e6;
    await until('a refusal', async () => (await rejection(log.append(Buffer.from('x')))) instanceof LogUnavailable);
    expect(log.state.is).to.equal('down');
    decided.free = 400e6;
    await until('the log to be up', () => log.state.is === 'up');
    await log.append(Buffer.from('2'));
    const kept = (await log.read('first', 1_000)).map(({ body }) => Buffer.from(body).toString());
    expect(kept.filter((body) => body !== 'x')).to.deep.equal(['0', '1', '2']);
    await log.close();
  });

  it('DuckDB is given nothing to write at half the reserve: StoreUnavailable, and its database stays open', async () => {
    const store = await opening(openDuckdbStore(join(folder, 'readings.duckdb'), { disks: decided.disks }));
    const states: string[] = [];
    store.watch(({ is }) => states.push(is));
    await store.write(numbered(0));
    decided.free = 31e6;
    await until('a refusal', async () => (await rejection(store.write(numbered(0)))) instanceof StoreUnavailable);
    expect(await everything(store)).to.have.length(20);
    decided.free = 400e6;
    await until('a write', async () => (await rejection(store.write(numbered(1)))) === undefined);
    expect(await everything(store)).to.have.length(40);
    expect(states).to.deep.equal([]);
    await store.close();
  });

  for (const medium of shortOrLong([], ['files of 32 kB at most', 'a file system of 8 MB'] as const)) {
    it(`on ${medium} a queue refuses what has no room and goes on: what it took is there once, and what is worked off makes room`, async () => {
      const { ended, output, errors } = await runIn(medium, folder);
      expect(ended, errors).to.equal(0);
      expect(output).not.to.include('other');
      const numbers = (what: string) =>
        output.split('\n').flatMap((line) => (line.startsWith(`${what} `) ? [Number(line.split(' ')[1])] : []));
      expect(numbers('refused')[0]).to.be.greaterThan(0);
      expect(numbers('kept').length).to.be.at.least(100);
      expect([...numbers('taken'), ...numbers('left')].sort((a, b) => a - b)).to.deep.equal(
        numbers('kept').sort((a, b) => a - b),
      );
    });
  }
});

/**
 * Runs the child where its files find no room. Where no file system may be mounted, as in most containers, only the
 * length of a file is limited for both: a write beyond it fails, in part, in any process and on any system.
 */
async function runIn(medium: 'a file system of 8 MB' | 'files of 32 kB at most', folder: string) {
  const mount = `mount -t tmpfs -o size=8m none '${folder}' && exec "$@"`;
  const mayMount =
    medium === 'a file system of 8 MB' && spawnSync('unshare', ['-rm', 'sh', '-c', mount, 'sh', 'true']).status === 0;
  const [program, ...before] = mayMount
    ? ['unshare', '-rm', 'sh', '-c', mount]
    : ['sh', '-c', 'ulimit -f 64 && exec "$@"'];
  const child = spawn(program, [...before, 'sh', process.execPath, ...nodeArguments('child-queue-limited.ts')], {
    cwd: root,
    env: { ...process.env, QUEUE_DIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = await new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
  return { ended, output, errors };
}

/** What is taken out of a queue until `isEnough`. */
async function taken(
  queue: Awaited<ReturnType<typeof openFileQueue>>,
  isEnough: () => Promise<boolean>,
): Promise<string[]> {
  const bodies: string[] = [];
  const consumer = await queue.consume(async ({ body }) => void bodies.push(Buffer.from(body).toString().trim()), {
    prefetch: 10,
  });
  await until('enough to be taken out', isEnough);
  await consumer.stop();
  return bodies;
}
