import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { NoRoom } from '../../backbone/files/file-system.ts';
import { KeptFolder } from '../../backbone/repair/kept.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { loadConfig } from '../../core/config.ts';
import { leftDamaged, type RepairOptions, repair } from '../../roles/repair.ts';
import { temporaryFolder } from '../services/wait.ts';
import { rejection } from './numbered.ts';

const OPTIONS: RepairOptions = { isMending: true, onRepair: () => {}, inWords: () => 'report' };

/** A data folder with a queue of which a message is damaged, and its registry broken. */
async function damaged() {
  const data = await temporaryFolder();
  const queue = await openFileQueue(join(data, 'queue'));
  for (const text of ['one', 'two', 'three']) await queue.publish(Buffer.from(text));
  await queue.close();
  const segment = join(data, 'queue', 'segments', 'messages-000000000001.seg');
  const bytes = await readFile(segment);
  bytes[bytes.indexOf('two')] = 0;
  await writeFile(segment, bytes);
  const good = 'farms: [{ id: north, name: North, timezone: UTC }]\n';
  await writeFile(join(data, 'registry.yaml.last-good'), good);
  await writeFile(join(data, 'registry.yaml'), 'farms: [');
  return { data, segment, bytes, config: loadConfig({ data }, {}) };
}

describe('the room of a repair', () => {
  it('is looked at before anything is changed: with too little it says how much is needed', async () => {
    const { data, segment, bytes, config } = await damaged();
    const readRoom = async () => ({ total: 1e9, free: 1_000 });
    const error = await rejection(repair(config, { ...OPTIONS, readRoom }));
    expect(error).to.be.instanceOf(NoRoom);
    expect(String(error)).to.contain('are needed').and.to.contain('nothing was changed');
    expect((await readFile(segment)).equals(bytes)).to.equal(true);
    expect((await readdir(data)).filter((name) => name.startsWith('repaired-'))).to.deep.equal([]);
  });

  it('is not asked for where nothing is to be mended', async () => {
    const { config } = await damaged();
    expect(leftDamaged(await repair(config, OPTIONS))).to.deep.equal([]);
    const readRoom = async () => ({ total: 1e9, free: 0 });
    const again = await repair(config, { ...OPTIONS, readRoom });
    expect([leftDamaged(again), again.kept]).to.deep.equal([[], undefined]);
  });
});

describe('the folder of what was kept', () => {
  it('has a file at the same relative path, as it was, and one from outside below "elsewhere"', async () => {
    const data = await temporaryFolder();
    const outside = join(await temporaryFolder(), 'file');
    await mkdir(join(data, 'a', 'b'), { recursive: true });
    for (const path of [join(data, 'a', 'b', 'file'), outside]) await writeFile(path, path);
    const kept = await KeptFolder.at(data, new Date(Date.UTC(2026, 0, 2, 3, 4, 5)));
    expect(kept.path).to.equal(join(data, 'repaired-20260102-030405'));
    await kept.keep(join(data, 'a', 'b', 'file'));
    await kept.move(outside);
    expect(await readFile(join(kept.path, 'a', 'b', 'file'), 'utf8')).to.equal(join(data, 'a', 'b', 'file'));
    expect(await readFile(join(kept.path, 'elsewhere', outside), 'utf8')).to.equal(outside);
    expect(await rejection(stat(outside))).to.be.instanceOf(Error);
    expect((await stat(kept.path)).mode & 0o777).to.equal(0o700);
  });

  it('keeps the first of two files of one name, and two repairs in one second have folders of their own', async () => {
    const data = await temporaryFolder();
    const path = join(data, 'file');
    const now = new Date();
    await writeFile(path, 'before');
    const kept = await KeptFolder.at(data, now);
    await kept.keep(path);
    await writeFile(`${path}.new`, 'after');
    await rename(`${path}.new`, path);
    await kept.keep(path);
    expect(await readFile(join(kept.path, 'file'), 'utf8')).to.equal('before');
    expect((await KeptFolder.at(data, now)).path).to.equal(`${kept.path}-2`);
  });
});
