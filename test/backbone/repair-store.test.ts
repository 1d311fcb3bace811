import { randomBytes } from 'node:crypto';
import { chmod, open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import type { RepairFinding } from '../../backbone/repair/part.ts';
import { lookAtStore } from '../../backbone/repair/store-part.ts';
import { itIfLong } from '../services/length.ts';
import { temporaryFolder } from '../services/wait.ts';
import { DuckdbPlace, fileIn } from './duckdb-place.ts';
import { everything, numbered, reading, seeded, T0 } from './store-readings.ts';

const COUNT = 60_000;
/** DuckDB's blocks begin behind three headers of 4 kB. */
const BLOCKS_AT = 12_288;
const BLOCK = 2 ** 18;

/** Two values of each of many times, for two sensors by turns; in the file itself, with nothing beside it. */
async function large(folder: string): Promise<void> {
  const place = await DuckdbPlace.open(folder);
  const values = seeded(1);
  const sensors = ['s', 't'];
  const many = Array.from({ length: COUNT }, (_, i) =>
    reading(T0 + i, { a: values(), b: values() }, { sensor: sensors[i % 2] ?? '' }),
  );
  await place.store.write(many, { checkpointed: true });
  await place.close();
}

/** The block in which values of the column begin that row `from` has. */
async function blockOf(file: string, column: string): Promise<{ block: number; start: number; count: number }> {
  const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const sql = `SELECT block_id, start, count FROM pragma_storage_info('readings') WHERE column_name = '${column}' AND segment_type <> 'VALIDITY' AND block_id >= 0 ORDER BY row_group_id, start LIMIT 1`;
  const [row] = (await connection.runAndReadAll(sql)).getRows();
  connection.closeSync();
  instance.closeSync();
  const [block, start, count] = (row ?? []).map(Number);
  return { block: block ?? 0, start: start ?? 0, count: count ?? 0 };
}

async function garble(file: string, at: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write(bytes, 0, bytes.length, at);
  await handle.close();
}

const look = (folder: string, liveSince?: number) =>
  lookAtStore(fileIn(folder), { isKnown: () => true, onRepair: () => {}, liveSince });

/** Mends; what was kept is in the answer, by its name. */
async function mend(findings: readonly RepairFinding[]): Promise<Map<string, Buffer>> {
  const kept = new Map<string, Buffer>();
  for (const { mend } of findings) await mend?.run(async (path) => void kept.set(path, await readFile(path)));
  return kept;
}

async function timesOf(folder: string, sensor: string): Promise<number[]> {
  const store = await openDuckdbStore(fileIn(folder));
  const times = (await everything(store, sensor)).map(([ts]) => ts);
  await store.close();
  return times;
}

describe('a look at the store and its mending', function () {
  this.timeout(120_000);

  it('reads a whole file to its end, with the log beside it, and changes neither', async () => {
    const folder = await temporaryFolder();
    const place = await DuckdbPlace.open(folder);
    await place.take(numbered(0));
    await place.crash();
    await place.store.close();
    await place.live.close();
    const files = async () =>
      await Promise.all(
        (await readdir(folder)).map(async (name) => {
          const { mtimeMs, size } = await stat(join(folder, name));
          return [name, mtimeMs, size];
        }),
      );
    const before = await files();
    const [finding, ...others] = await look(folder);
    expect(others).to.deep.equal([]);
    expect(finding).to.include({ is: 'whole' });
    expect(finding?.figures?.whole).to.equal(20);
    expect(await files()).to.deep.equal(before);
  });

  it('names the rows of a damaged block, when they were measured and whose they were, and keeps all others', async () => {
    const folder = await temporaryFolder();
    await large(folder);
    const file = fileIn(folder);
    const { block, start, count } = await blockOf(file, 'value');
    await garble(file, BLOCKS_AT + block * BLOCK + 5_000, randomBytes(64));
    const damaged = await readFile(file);
    const [finding] = await look(folder, T0 + 1e12);
    expect(finding?.is).to.equal('damaged');
    const { lost = 0, whole, from, to, sensors } = finding?.figures ?? {};
    // Rows are read in pieces of 2,048.
    expect(lost).to.be.within(count, count + 2 * 2_048);
    expect(whole).to.equal(2 * COUNT - lost);
    expect(from).to.equal(T0 + Math.floor(start / 2));
    expect(to).to.be.within(T0 + (start + count) / 2 - 1, T0 + (start + count) / 2 + 2_048);
    expect(sensors?.map(({ farm, sensor }) => `${farm}/${sensor}`)).to.deep.equal(['north/s', 'north/t']);
    expect(finding?.text).to.contain('columns: value').and.to.contain('none of them is in the live log');

    const kept = await mend([finding].flatMap((one) => one ?? []));
    expect(kept.get(file)?.equals(damaged)).to.equal(true);
    const [again] = await look(folder);
    expect([again?.is, again?.figures?.whole]).to.deep.equal(['whole', whole]);
    const there = [...(await timesOf(folder, 's')), ...(await timesOf(folder, 't'))];
    expect(there).to.have.length(whole ?? 0);
    expect(await readdir(folder)).not.to.include(`${file}.repairing`);
  });

  itIfLong('has the next start write what the live log has, where that may have what was lost', async () => {
    const folder = await temporaryFolder();
    await large(folder);
    const place = await DuckdbPlace.open(folder);
    await place.take(numbered(20_000));
    await place.close();
    const file = fileIn(folder);
    const { block } = await blockOf(file, 'value');
    await garble(file, BLOCKS_AT + block * BLOCK + 5_000, randomBytes(64));
    const findings = await look(folder, T0);
    expect(findings[0]?.text).to.contain('begins at 2025-06-01T00:00:00Z');
    await mend(findings);
    const opened = await DuckdbPlace.open(folder);
    await opened.up();
    expect(await opened.events('rewritten')).to.equal(10);
    expect(opened.gaps).to.deep.equal([]);
    await opened.close();
    const again = await DuckdbPlace.open(folder);
    await again.up();
    expect(await again.events('rewritten')).to.equal(0);
    await again.close();
  });

  itIfLong('puts a log beside it that DuckDB cannot read aside, and loses nothing of the file', async () => {
    const folder = await temporaryFolder();
    const place = await DuckdbPlace.open(folder);
    await place.take(numbered(0));
    await place.close();
    await writeFile(`${fileIn(folder)}.wal`, randomBytes(5_000));
    const findings = await look(folder);
    const kept = await mend(findings);
    expect([...kept.keys()].every((path) => path.includes('.wal'))).to.equal(true);
    const [after] = await look(folder);
    expect([after?.is, after?.figures?.whole]).to.deep.equal(['whole', 20]);
  });

  itIfLong('gives a file another first header, where that alone is damaged, and loses nothing', async () => {
    const folder = await temporaryFolder();
    const place = await DuckdbPlace.open(folder);
    await place.take(numbered(0));
    await place.close();
    const file = fileIn(folder);
    await garble(file, 0, randomBytes(4_096));
    const damaged = await readFile(file);
    const findings = await look(folder, T0 + 1e12);
    expect(findings.map(({ is }) => is)).to.deep.equal(['damaged']);
    expect((await mend(findings)).get(file)?.equals(damaged)).to.equal(true);
    const [after] = await look(folder);
    expect([after?.is, after?.figures?.whole]).to.deep.equal(['whole', 20]);
    expect((await timesOf(folder, 's')).length).to.equal(20);
  });

  it('gives a file that a link leads to its owner and mode, not those of the link', async () => {
    const [elsewhere, folder] = [await temporaryFolder(), await temporaryFolder()];
    await large(elsewhere);
    await chmod(fileIn(elsewhere), 0o640);
    await garble(fileIn(elsewhere), 0, randomBytes(4_096));
    await symlink(fileIn(elsewhere), fileIn(folder));
    await mend(await look(folder));
    expect((await stat(fileIn(folder))).mode & 0o777).to.equal(0o640);
    expect(await timesOf(folder, 's')).to.have.length(COUNT);
  });

  itIfLong('a file whose other headers are damaged is put aside', async () => {
    const folder = await temporaryFolder();
    const place = await DuckdbPlace.open(folder);
    await place.take(numbered(0));
    await place.close();
    const file = fileIn(folder);
    await garble(file, 4_096, randomBytes(8_192));
    await mend(await look(folder, T0));
    expect(await readdir(folder)).not.to.include.members(['readings.duckdb', 'readings.duckdb.repairing']);
  });

  for (const [name, bytes] of [
    ['empty', Buffer.alloc(0)],
    ['no file of DuckDB', Buffer.from('no database'.repeat(2_000))],
  ] as const) {
    it(`a file that is ${name} is put aside, and the next start makes a new one of the live log`, async () => {
      const folder = await temporaryFolder();
      const place = await DuckdbPlace.open(folder);
      await place.take(numbered(0));
      await place.close();
      const file = fileIn(folder);
      await writeFile(file, bytes);
      const findings = await look(folder, T0);
      expect(findings[0]?.is).to.equal('damaged');
      expect(findings[0]?.text).to.contain('2025-06-01');
      expect((await mend(findings)).get(file)?.equals(bytes)).to.equal(true);
      const opened = await DuckdbPlace.open(folder);
      expect((await opened.times()).size).to.equal(10);
      await opened.close();
    });
  }
});
