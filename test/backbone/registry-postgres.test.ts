import { expect } from 'chai';
import pino from 'pino';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { postgresAddress } from '../../backbone/registry/postgres/address.ts';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { ConfigInvalid, RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { someOf } from '../services/length.ts';
import { postgres, sql } from '../services/postgres.ts';
import { freePort, until } from '../services/wait.ts';
import { rejection } from './numbered.ts';
import { registryContract } from './registry-contract.ts';
import { farm, farmOf, removal, sensor } from './registry-things.ts';

registryContract('PostgreSQL', async () => {
  const url = await (await postgres()).createDatabase();
  return { open: () => openPostgresRegistry(url, { log: silent }), cleanup: async () => {} };
});

describe('PostgreSQL: the registry’s tables', function () {
  this.timeout(120_000);
  let url: string;
  let opened: RegistryPort[];

  beforeEach(async () => {
    url = await (await postgres()).createDatabase();
    opened = [];
  });

  afterEach(() => Promise.all(opened.map((registry) => registry.close())));

  async function open(at = url, log = silent): Promise<RegistryPort> {
    const registry = await openPostgresRegistry(at, { log });
    opened.push(registry);
    return registry;
  }

  /** The database's address for another role, which has these rights and no others. */
  async function role(...grants: string[]): Promise<string> {
    const at = new URL(url);
    const name = `role_${at.pathname.slice(1)}_${Math.random().toString(36).slice(2)}`;
    await sql(url, `CREATE ROLE ${name} LOGIN PASSWORD 'secret'`);
    for (const grant of grants) await sql(url, grant.replace('ROLE', name));
    at.username = name;
    at.password = 'secret';
    return at.toString();
  }

  const READS = ['GRANT USAGE ON SCHEMA loam TO ROLE', 'GRANT SELECT ON ALL TABLES IN SCHEMA loam TO ROLE'];
  const EDITS = [
    'GRANT INSERT, UPDATE, DELETE ON loam.things TO ROLE',
    'GRANT INSERT ON loam.changes TO ROLE',
    'GRANT UPDATE ON loam.head TO ROLE',
  ];

  it('a role that may neither make nor change tables edits, once they are there', async () => {
    await (await open()).apply([farm()], 'ada');
    const editor = await open(await role(...READS, ...EDITS));
    await editor.apply([sensor('s1'), sensor('s2')], 'bob');
    await editor.apply([removal(sensor('s2'))], 'bob');
    expect((await editor.changes(0, 10)).map(({ who }) => who)).to.deep.equal(['ada', 'bob', 'bob', 'bob']);
    expect((await open()).current().sensorCount).to.equal(1);
  });

  it('a role that may only read follows, and is told that it may not edit', async () => {
    const admin = await open();
    await admin.apply([farm()], 'ada');
    const reader = await open(await role(...READS));
    await admin.apply([sensor('s1')], 'ada');
    await until('the reader to know the sensor', () => reader.current().sensorCount === 1);
    const error = await rejection(reader.apply([sensor('s2')], 'bob'));
    expect(error).to.be.instanceOf(RegistryUnavailable).with.property('message').that.includes('may only read');
    expect(reader.state).to.deep.equal({ is: 'up' });
    expect(reader.current().sensorCount).to.equal(1);
  });

  it('a role without rights is refused, and told where they are described', async () => {
    await open();
    const error = await rejection(open(await role()));
    expect(error).to.be.instanceOf(ConfigInvalid).with.property('message').that.includes('docs/operations.md');
  });

  it('a role that may not make the tables is refused while they are not there, and makes them in a schema of its own', async () => {
    const at = await role();
    expect(await rejection(open(at))).to.be.instanceOf(ConfigInvalid);
    await sql(url, `CREATE SCHEMA loam AUTHORIZATION ${new URL(at).username}`);
    await (await open(at)).apply([farm()], 'ada');
  });

  it('processes that start at once make the tables once', async () => {
    const registries = await Promise.all([open(), open(), open(), open()]);
    await registries[0]?.apply([farm()], 'ada');
    for (const registry of registries) await until('the farm', () => registry.current().farms.size === 1);
  });

  it('tables of a newer Loam are refused at the start, and not followed by a process that runs', async () => {
    const registry = await open();
    await registry.apply([farm()], 'ada');
    await sql(url, 'UPDATE loam.head SET tables = 99');
    expect(await rejection(open()))
      .to.be.instanceOf(ConfigInvalid)
      .with.property('message')
      .that.includes('version 99');
    await until('it to be down', () => registry.state.is === 'down');
    expect(registry.health()[0]).to.include({ name: 'registry', ok: false, optional: true });
    expect(registry.health()[0]?.why).to.include('newer Loam');
    expect(registry.current().farms.size).to.equal(1);
    expect(await rejection(registry.apply([sensor('s1')], 'ada'))).to.be.instanceOf(RegistryUnavailable);
  });

  it('a database that keeps no UTF-8, a wrong password and a server that is not there are refused without telling the password', async () => {
    const wrong = new URL(url);
    wrong.password = 'hunter2';
    const latin = await (await postgres()).createDatabase({ encoding: 'LATIN1' });
    const away = `postgres://loam:hunter2@127.0.0.1:${await freePort()}/loam`;
    for (const [at, why] of [
      [wrong.toString(), 'password'],
      [latin, 'UTF8'],
      [away, 'ECONNREFUSED'],
      ['postgres://loam:hunter2@/', 'not a URL'],
      ['postgres://loam:hunter2@localhost/loam?sslmode=maybe', 'sslmode=maybe'],
      ['postgres://loam:hunter2@localhost/loam?sslpassword=x', 'not known'],
      ['postgres://loam:hunter2@localhost', 'database'],
      ['postgres://loam:1?hunter2@localhost/loam', 'user'],
      ['postgres://lo%00am:hunter2@localhost/loam', 'NUL'],
    ]) {
      const error = await rejection(open(at));
      expect(error, at).to.be.instanceOf(ConfigInvalid).with.property('setting', 'LOAM_REGISTRY');
      expect(error).to.have.property('message').that.includes(why).and.does.not.include('hunter2');
    }
  });

  it('texts that PostgreSQL takes in no text are kept as they are', async () => {
    const odd = "NUL \0, half a pair \ud83d, \u{1f33e}, a quote ' and a backslash \\";
    await (await open()).apply([farm(), sensor('s1', { name: odd })], `who\0`);
    const again = await open();
    expect(again.current().get('sensor', 'north/s1')?.name).to.equal(odd);
    expect((await again.changes(0, 1))[0]?.who).to.equal('who');
  });

  it('a change by somebody’s SQL that is no such thing is not taken in: the registry stays as it was, and says so', async () => {
    const registry = await open();
    await registry.apply(farmOf(1), 'ada');
    await bySql(`'{"id":"s0","farm":"north","colour":"red"}'`);
    await until('it to be down', () => registry.state.is === 'down');
    expect(registry.health()[0]?.why).to.include('sensor north/s0, colour');
    expect(registry.current().get('sensor', 'north/s0')).to.not.have.property('colour');
    const error = await rejection(registry.apply([sensor('s1')], 'ada'));
    expect(error).to.be.instanceOf(RegistryUnavailable).with.property('message').that.includes('colour');
    expect(await rejection(open()))
      .to.be.instanceOf(ConfigInvalid)
      .with.property('message')
      .that.includes('colour');
  });

  it('a thing of a kind that a newer Loam knows is not passed over: it keeps every process from starting and following', async () => {
    const registry = await open();
    await registry.apply([farm()], 'ada');
    await sql(url, `INSERT INTO loam.things VALUES ('orchard', 'north/o1', 'v', '{"id":"o1"}')`);
    expect(await rejection(open()))
      .to.be.instanceOf(ConfigInvalid)
      .with.property('message')
      .that.includes('orchard north/o1');
    await sql(
      url,
      `BEGIN; UPDATE loam.head SET seq = 2, mark = '00000000-0000-4000-8000-000000000000';
       INSERT INTO loam.changes VALUES (2, '00000000-0000-4000-8000-000000000000', now(), 'eve', 'there', 'orchard', 'north/o1', NULL, '{"id":"o1"}'); COMMIT`,
    );
    await until('it to be down', () => registry.state.is === 'down');
    expect(registry.health()[0]?.why).to.include('orchard north/o1');
    const removal = await rejection(registry.apply([{ kind: 'farm', id: 'north', value: null }], 'ada'));
    expect(removal).to.be.instanceOf(RegistryUnavailable).with.property('message').that.includes('orchard north/o1');
    expect(registry.current().farms.size).to.equal(1);
  });

  it('changes are followed though nobody is notified of them', async () => {
    const registry = await open();
    await registry.apply(farmOf(1), 'ada');
    await bySql(`'{"id":"s0","farm":"north","name":"in silence"}'`);
    await until('the change', () => registry.current().get('sensor', 'north/s0')?.name === 'in silence');
  });

  for (const edits of someOf([1, 2, 3], 2)) {
    it(`a backup that is restored is read anew: ${edits} edits in it, where 2 are known`, () => restored(edits));
  }

  async function restored(edits: number): Promise<void> {
    const registry = await open();
    await registry.apply(farmOf(3), 'ada');
    await sql(url, 'CREATE TABLE public.h AS TABLE loam.head; CREATE TABLE public.t AS TABLE loam.things');
    const told: string[] = [];
    registry.watch((changes) => told.push(...changes.map(({ id, after }) => `${after ? 'with' : 'without'} ${id}`)));
    await registry.apply([sensor('lost', { name: 'a' })], 'ada');
    await registry.apply([sensor('s0', { name: 'b' })], 'ada');
    // As one step, so that the process cannot see what is between: the backup, and the edits that were made in it.
    await sql(
      url,
      `BEGIN;
      DELETE FROM loam.changes WHERE seq > (SELECT seq FROM public.h);
      DELETE FROM loam.things; INSERT INTO loam.things SELECT * FROM public.t;
      INSERT INTO loam.things VALUES ('sensor', 'north/new', '', '{"id":"new","farm":"north"}');
      INSERT INTO loam.changes (seq, mark, who, place, kind, id, new)
        SELECT h.seq + n, gen_random_uuid(), 'bob', 'b', 'sensor', 'north/new', '{"id":"new","farm":"north"}' FROM public.h h, generate_series(1, ${edits}) n;
      UPDATE loam.head SET seq = c.seq, mark = c.mark FROM (SELECT seq, mark FROM loam.changes ORDER BY seq DESC LIMIT 1) c;
      COMMIT`,
    );
    await until('the restored registry', () => registry.current().get('sensor', 'north/new') !== undefined);
    expect(registry.current().get('sensor', 'north/lost')).to.equal(undefined);
    expect(registry.current().get('sensor', 'north/s0')?.name).to.equal(undefined);
    expect(told.slice(2)).to.have.members(['with north/new', 'with north/s0', 'without north/lost']);
    await registry.apply([sensor('s4')], 'ada');
    expect(registry.current().sensorCount).to.equal(5);
  }

  it('a registry that was emptied locks nobody out: what was known stays, and health says so', async () => {
    const lines: string[] = [];
    const registry = await open(url, pino({ level: 'info' }, { write: (line) => lines.push(line) }));
    await registry.apply(farmOf(1), 'ada');
    await sql(url, 'DROP SCHEMA loam CASCADE');
    await until('it to be down', () => registry.state.is === 'down');
    await open();
    await until('it to say so', () => registry.health()[0]?.why?.includes('emptied'), { timeoutMs: 30_000 });
    expect(registry.current().sensorCount).to.equal(1);
    expect(await rejection(registry.apply([sensor('s1')], 'ada'))).to.be.instanceOf(RegistryUnavailable);
    expect(lines.some((line) => line.includes('registry_away'))).to.equal(true);
    expect(lines.join('')).not.to.include(postgresAddress(url).password);
  });

  it('changes that were thrown away are not missed: followers read the registry anew', async () => {
    const registry = await open();
    await registry.apply(farmOf(1), 'ada');
    // Two edits, of which only the second can still be read.
    await sql(
      url,
      `BEGIN;
      INSERT INTO loam.things SELECT 'sensor', 'north/s' || n, '', json_build_object('id', 's' || n, 'farm', 'north') FROM generate_series(1, 2) n;
      DELETE FROM loam.changes;
      UPDATE loam.head SET seq = seq + 2, mark = gen_random_uuid();
      INSERT INTO loam.changes (seq, mark, who, place, kind, id, new)
        SELECT seq, mark, 'sql', 'here', 'sensor', 'north/s2', '{"id":"s2","farm":"north"}' FROM loam.head;
      COMMIT`,
    );
    await until('both sensors', () => registry.current().sensorCount === 3);
    expect(registry.state).to.deep.equal({ is: 'up' });
  });

  /** What an edit of the sensor `s0` does, but for the notification. */
  async function bySql(value: string): Promise<void> {
    await sql(
      url,
      `BEGIN; SELECT pg_advisory_xact_lock(1282367853, 1);
      UPDATE loam.things SET value = ${value} WHERE id = 'north/s0';
      UPDATE loam.head SET seq = seq + 1, mark = gen_random_uuid();
      INSERT INTO loam.changes (seq, mark, who, place, kind, id, new)
        SELECT seq, mark, 'sql', 'here', 'sensor', 'north/s0', ${value} FROM loam.head;
      COMMIT`,
    );
  }
});
