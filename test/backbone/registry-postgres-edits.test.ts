import { expect } from 'chai';
import type { Client } from 'pg';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { silent } from '../../core/logger.ts';
import { versionOf } from '../../telemetry/registry/things.ts';
import { postgres, sql, withClient } from '../services/postgres.ts';
import { until } from '../services/wait.ts';
import { startChild } from './child-process.ts';
import { farm, farmOf, sensor } from './registry-things.ts';

describe('PostgreSQL: edits of the registry stand in a row', function () {
  this.timeout(120_000);
  let url: string;
  let opened: RegistryPort[];

  beforeEach(async () => {
    url = await (await postgres()).createDatabase();
    opened = [];
  });

  afterEach(() => Promise.all(opened.map((registry) => registry.close())));

  async function open(): Promise<RegistryPort> {
    const registry = await openPostgresRegistry(url, { log: silent });
    opened.push(registry);
    return registry;
  }

  /** How many wait for a lock of the kind that edits take. */
  async function waiting(): Promise<unknown> {
    const [row] = await sql(url, "SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    return row?.n;
  }

  it('whoever listens is notified of an edit, and does not have to wait for the next look', async () => {
    const registry = await open();
    await withClient(url, async (listener) => {
      let notified = 0;
      listener.on('notification', () => {
        notified += 1;
      });
      await listener.query('LISTEN loam_registry');
      await registry.apply([farm()], 'ada');
      await until('the notification', () => notified === 1);
    });
  });

  const defaults = [
    ["default_transaction_isolation = 'read committed'", 'as it is made'],
    ["default_transaction_isolation = 'repeatable read'", 'where transactions see the past'],
    ['default_transaction_read_only = on', 'where transactions only read'],
  ] as const;
  for (const [setting, where] of defaults) {
    it(`a start that waits while another process makes the tables takes those, in a database ${where}`, async () => {
      await sql(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET ${setting}`);
      await (await open()).close();
      await withClient(url, async (other) => {
        await other.query('BEGIN READ WRITE; ALTER SCHEMA loam RENAME TO hidden; COMMIT');
        await other.query('BEGIN READ WRITE; SELECT pg_advisory_xact_lock(1282367853, 1)');
        const start = open();
        await until('the start to wait', async () => (await waiting()) === 1);
        await other.query('ALTER SCHEMA hidden RENAME TO loam; COMMIT');
        const [registry, second] = [await start, await open()];
        await registry.apply([farm()], 'ada');
        await until('the farm', () => second.current().farms.size === 1);
      });
    });
  }

  it('an edit that commits late is not skipped: nobody commits with a higher number before it', async () => {
    const [registry, other] = [await open(), await open()];
    await registry.apply(farmOf(1), 'ada');
    await until('the farm', () => other.current().sensorCount === 1);
    const told: string[] = [];
    other.watch((changes) => told.push(...changes.map(({ id }) => id)));
    await withClient(url, async (late) => {
      await beginLate(late);
      let isMade = false;
      const edit = registry.apply([sensor('second')], 'ada').then(() => {
        isMade = true;
      });
      await until('the edit to wait', async () => (await waiting()) === 1);
      expect(isMade).to.equal(false);
      expect(told).to.deep.equal([]);
      await late.query('COMMIT');
      await edit;
    });
    await until('both edits', () => told.length === 2);
    expect(told).to.deep.equal(['north/first', 'north/second']);
    const seqs = (await registry.changes(0, 10)).map(({ seq, id }) => `${seq} ${id}`);
    expect(seqs.slice(-2)).to.deep.equal(['3 north/first', '4 north/second']);
  });

  it('of a hundred edits at once by two processes none is lost, and of those of one thing one is made', async () => {
    const registry = await open();
    await registry.apply([farm(), sensor('shared')], 'ada');
    // Both have seen the same: one that starts late would see the other's edit, and its own would be made, too.
    const shared = registry.current().get('sensor', 'north/shared');
    if (shared === undefined) throw new Error('the sensor that both edit is not there');
    const seen = versionOf('sensor', 'north/shared', shared);
    const children = await Promise.all(
      ['left', 'right'].map((name) =>
        startChild({
          script: 'child-registry-postgres.ts',
          env: { REGISTRY_URL: url, TASK: 'race', NAME: name, SEEN: seen },
        }),
      ),
    );
    expect(await Promise.all(children.map((child) => child.ended))).to.deep.equal([0, 0]);
    const lines = children.flatMap((child) => child.lines());
    const count = (word: string, what: string) => lines.filter((line) => line.startsWith(`${word} ${what} `)).length;
    expect([count('kept', 'own'), count('kept', 'shared'), count('REGISTRY_CONFLICT', 'shared')]).to.deep.equal([
      50, 1, 49,
    ]);
    await until('all of them', () => registry.current().sensorCount === 51);
  });

  /** Begins what an edit does, and does not end it. */
  async function beginLate(client: Client): Promise<void> {
    const value = '{"id":"first","farm":"north"}';
    await client.query(`BEGIN; SELECT pg_advisory_xact_lock(1282367853, 1);
      UPDATE loam.head SET seq = seq + 1, mark = gen_random_uuid();
      INSERT INTO loam.things VALUES ('sensor', 'north/first', '', '${value}');
      INSERT INTO loam.changes (seq, mark, who, place, kind, id, new)
        SELECT seq, mark, 'sql', 'here', 'sensor', 'north/first', '${value}' FROM loam.head`);
  }
});
