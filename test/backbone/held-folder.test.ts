import { renameSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { FolderGone } from '../../backbone/files/disk.ts';
import { LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { LogUnavailable, QueueUnavailable, StoreUnavailable } from '../../core/errors.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { DecidedDisks } from './disk-room.ts';
import { rejection } from './numbered.ts';
import { numbered } from './store-readings.ts';

describe('a folder that is deleted, moved or replaced while it is open', () => {
  let place: string;
  let folder: string;
  let decided: DecidedDisks;
  const opened: { close(): Promise<void> }[] = [];

  beforeEach(async () => {
    place = await temporaryFolder();
    folder = join(place, 'queue');
    decided = new DecidedDisks();
  });

  afterEach(async () => {
    for (const port of opened.splice(0)) await port.close();
  });

  async function opening<T extends { close(): Promise<void> }>(port: Promise<T>): Promise<T> {
    const open = await port;
    opened.push(open);
    return open;
  }

  const ways: readonly (readonly [how: string, happen: () => Promise<unknown>])[] = [
    ['deleted', () => rm(folder, { recursive: true })],
    ['deleted, and a new one made', () => rm(folder, { recursive: true }).then(() => mkdir(folder))],
    ['moved away', () => rename(folder, join(place, 'away'))],
    [
      'replaced by a copy',
      () => rename(folder, join(place, 'away')).then(() => cp(join(place, 'away'), folder, { recursive: true })),
    ],
    ['moved away with the folder above it', () => rename(place, `${place}-away`)],
    [
      'emptied',
      async () => Promise.all((await readdir(folder)).map((name) => rm(join(folder, name), { recursive: true }))),
    ],
  ];
  for (const [how, happen] of ways) {
    it(`${how}: it is named within seconds without a write, and no publish is confirmed`, async () => {
      const queue = await opening(openFileQueue(folder, undefined, decided.disks));
      await queue.publish(Buffer.from('kept'));
      await happen();
      const line = await until('it to be named', () => decided.disks.health().find(({ ok }) => !ok));
      expect(line.why).to.include(folder).and.to.include('restart Loam');
      expect(line.optional).to.equal(undefined);
      expect(decided.events).to.deep.equal(['folder_gone']);
      const refusal = await rejection(queue.publish(Buffer.from('lost')));
      expect(refusal).to.be.instanceOf(QueueUnavailable);
      expect(refusal instanceof Error && refusal.cause).to.be.instanceOf(FolderGone);
      if (how === 'moved away with the folder above it') await rename(`${place}-away`, place);
    });
  }

  it('put back goes on by itself, with all that was confirmed', async () => {
    const queue = await opening(openFileQueue(folder, undefined, decided.disks));
    let confirmed = 0;
    const publish = async () => {
      const refusal = await rejection(queue.publish(Buffer.from('x')));
      if (refusal === undefined) confirmed += 1;
      return refusal;
    };
    await publish();
    await rename(folder, join(place, 'away'));
    await mkdir(folder);
    await until('a refusal', publish);
    await rm(folder, { recursive: true });
    await rename(join(place, 'away'), folder);
    await until('a publish to be taken', async () => (await publish()) === undefined);
    expect(decided.disks.health()).to.deep.equal([{ name: 'disk', ok: true }]);
    expect(decided.events).to.deep.equal(['folder_gone', 'folder_back']);
    await queue.close();
    opened.splice(0);
    const again = await opening(openFileQueue(folder));
    expect(await again.depth()).to.equal(confirmed);
  });

  it('confirms no publish from the moment on at which it is gone, however lately it was looked at', async () => {
    const queue = await opening(openFileQueue(folder, undefined, decided.disks));
    const away = join(place, 'away');
    for (let times = 0; times < 5; times++) {
      await until('a publish to be taken', async () => {
        await queue.publish(Buffer.from('kept'));
        return true;
      });
      renameSync(folder, away);
      const refusal = await rejection(queue.publish(Buffer.from('lost')));
      renameSync(away, folder);
      expect(refusal, `time ${times}`).to.be.instanceOf(QueueUnavailable);
      expect(refusal instanceof Error && refusal.cause).to.be.instanceOf(FolderGone);
    }
  });

  it('goes for a log, and for the file of DuckDB, too', async () => {
    const log = await opening(openFileLog(place, 'live', LIVE_LOG_LIMITS, decided.disks));
    const file = join(place, 'readings.duckdb');
    const store = await opening(openDuckdbStore(file, { disks: decided.disks }));
    await store.write(numbered(1));
    await rm(join(place, 'live'), { recursive: true });
    await until(
      'the log to refuse',
      async () => (await rejection(log.append(Buffer.from('x')))) instanceof LogUnavailable,
    );
    await store.write(numbered(1));
    await rm(file);
    await until(
      'the store to refuse',
      async () => (await rejection(store.write(numbered(1)))) instanceof StoreUnavailable,
    );
    const [line] = decided.disks.health();
    expect(line?.why).to.include(join(place, 'live')).and.to.include(file);
  });
});
