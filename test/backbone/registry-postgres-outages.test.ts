import { expect } from 'chai';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { openPostgresRegistry } from '../../backbone/registry/postgres/registry.ts';
import { RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { itIfLong } from '../services/length.ts';
import { type PostgresServer, sql, startPostgres, withClient } from '../services/postgres.ts';
import { type Proxy as NetworkProxy, startProxy } from '../services/proxy.ts';
import { until } from '../services/wait.ts';
import { startChild } from './child-process.ts';
import { range, rejection } from './numbered.ts';
import { farm, farmOf, sensor } from './registry-things.ts';

const LOCK = 'SELECT pg_advisory_xact_lock(1282367853, 1)';

describe('PostgreSQL: the registry when things go wrong', function () {
  this.timeout(120_000);
  let server: PostgresServer;
  let proxy: NetworkProxy;
  let url: string;
  let opened: RegistryPort[];

  before(async () => {
    server = await startPostgres();
    proxy = await startProxy(server.port);
  });

  after(async () => {
    await proxy.close();
    await server.close();
  });

  beforeEach(async () => {
    url = await server.createDatabase();
    opened = [];
  });

  afterEach(async () => {
    proxy.thaw();
    proxy.restore();
    await Promise.all(opened.map((registry) => registry.close()));
  });

  async function open(at = url): Promise<RegistryPort> {
    const registry = await openPostgresRegistry(at, { log: silent });
    opened.push(registry);
    return registry;
  }

  /** The database's address through the proxy. */
  function through(): string {
    const at = new URL(url);
    at.port = String(proxy.port);
    return at.toString();
  }

  /** How many wait for a lock of the kind that edits take. */
  async function waiting(): Promise<unknown> {
    const [row] = await sql(url, "SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    return row?.n;
  }

  async function isDown(registry: RegistryPort): Promise<void> {
    await until('the registry to be down', () => registry.state.is === 'down');
    expect(registry.health()[0]).to.include({ name: 'registry', ok: false, optional: true });
    expect(registry.health()[0]?.why).to.include('PostgreSQL at 127.0.0.1');
    const begun = performance.now();
    const error = await rejection(registry.apply([sensor('refused')], 'ada'));
    expect(error).to.be.instanceOf(RegistryUnavailable);
    expect(performance.now() - begun).to.be.below(12_000);
    expect(registry.current().sensorCount).to.equal(1);
  }

  async function isBack(registry: RegistryPort): Promise<void> {
    await until('the registry to be up', () => registry.state.is === 'up', { timeoutMs: 30_000 });
    await registry.apply([sensor('after')], 'ada');
    expect(registry.current().get('sensor', 'north/after')?.id).to.equal('after');
    expect(registry.health()[0]).to.include({ ok: true });
  }

  it('a server that was killed: work goes on with what is known, and edits are refused until it is back', async () => {
    const registry = await open();
    await registry.apply(farmOf(1), 'ada');
    await server.kill();
    try {
      await isDown(registry);
    } finally {
      await server.start();
    }
    await isBack(registry);
  });

  it('a server that is frozen hangs up nobody', async () => {
    const registry = await open();
    await registry.apply(farmOf(1), 'ada');
    await server.freeze();
    try {
      const error = await rejection(registry.apply([sensor('frozen')], 'ada'));
      expect(error).to.be.instanceOf(RegistryUnavailable);
      await isDown(registry);
    } finally {
      await server.thaw();
    }
    await until('it to be up', () => registry.state.is === 'up', { timeoutMs: 30_000 });
    // What was asked of the frozen server may have been done when it thawed; nobody was told that it was.
    await isBack(registry);
  });

  itIfLong('a network that is cut, and one that swallows everything, are got over', async () => {
    const registry = await open(through());
    await registry.apply(farmOf(1), 'ada');
    const other = await open();
    for (const [begin, end] of [
      [proxy.cut, proxy.restore],
      [proxy.freeze, proxy.thaw],
    ] as const) {
      begin();
      await until('it to be down', () => registry.state.is === 'down');
      expect(await rejection(registry.apply([sensor('refused')], 'ada'))).to.be.instanceOf(RegistryUnavailable);
      await other.apply([sensor('s0', { name: begin.name })], 'bob');
      end();
      await until('what was missed', () => registry.current().get('sensor', 'north/s0')?.name === begin.name, {
        timeoutMs: 30_000,
      });
      await until('it to be up', () => registry.state.is === 'up');
    }
  });

  itIfLong(
    'of a hundred edits that wait for a server that is frozen each is refused within seconds, and not one after another',
    async () => {
      const registry = await open(through());
      await registry.apply(farmOf(1), 'ada');
      proxy.freeze();
      const begun = performance.now();
      const errors = await Promise.all(
        range(0, 100).map((number) => rejection(registry.apply([sensor(`n${number}`)], 'a'))),
      );
      expect(performance.now() - begun).to.be.below(20_000);
      for (const error of errors) expect(error).to.be.instanceOf(RegistryUnavailable);
    },
  );

  it('an edit during which the server is killed is there as a whole or not at all, and every yes is kept', async () => {
    for (const round of range(0, 4)) {
      const registry = await open();
      await registry.apply([farm()], 'ada');
      const outcomes = new Map<number, boolean>();
      // Several at once, each of 40 things: the kill comes while some are on their way.
      let next = 0;
      const lane = async (): Promise<void> => {
        for (;;) {
          const number = next++;
          const edit = range(0, 40).map((part) => sensor(`r${round}-e${number}-${part}`));
          const error = await rejection(registry.apply(edit, 'ada'));
          outcomes.set(number, error === undefined);
          if (error === undefined) continue;
          expect(error).to.be.instanceOf(RegistryUnavailable);
          return;
        }
      };
      const lanes = Promise.all(range(0, 4).map(lane));
      await until('some edits', () => outcomes.size >= 3 + round, { everyMs: 1 });
      await server.kill();
      await lanes;
      await registry.close();
      await server.start();
      const after = await open();
      for (const [number, kept] of outcomes) {
        const there = range(0, 40).filter((part) => after.current().sensor('north', `r${round}-e${number}-${part}`));
        expect(there.length, `edit ${number}, answered ${kept ? 'yes' : 'no'}`).to.be.oneOf(kept ? [40] : [0, 40]);
      }
      const changes = await sql(url, 'SELECT count(*)::int AS n, max(seq)::int AS newest FROM loam.changes');
      expect(changes[0]?.n).to.equal(changes[0]?.newest);
    }
  });

  it('nobody is told yes before the commit: an edit that is killed in the middle of it is a no', async () => {
    const registry = await open();
    await registry.apply([farm()], 'ada');
    // The commit itself waits, for a lock that the test has.
    await sql(
      url,
      `CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END';
      CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON loam.changes DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.hold()`,
    );
    await withClient(url, async (holder) => {
      await holder.query('SELECT pg_advisory_lock(42)');
      let answer = 'none';
      const edit = registry.apply([sensor('s1')], 'ada').then(
        () => {
          answer = 'yes';
        },
        (error: unknown) => {
          answer = error instanceof RegistryUnavailable ? 'no' : String(error);
        },
      );
      await until('the commit to wait', async () => (await waiting()) === 1);
      expect(answer).to.equal('none');
      expect(registry.current().sensorCount).to.equal(0);
      await server.kill();
      await edit;
      expect(answer).to.equal('no');
    });
    await server.start();
    expect((await open()).current().sensorCount).to.equal(0);
  });

  it('a connection that is ended at the server is made again, and what was edited meanwhile is known', async () => {
    const [registry, other] = [await open(), await open()];
    await other.apply(farmOf(1), 'ada');
    for (const number of range(0, 5)) {
      await sql(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'loam%' AND datname = current_database()",
      );
      await until('the edit', () => other.apply([sensor('s0', { name: `n${number}` })], 'ada').then(() => true));
      await until('the edit to be known', () => registry.current().get('sensor', 'north/s0')?.name === `n${number}`);
    }
  });

  itIfLong('a process that is frozen with the lock in its hand holds up others for seconds only', async () => {
    const other = await open();
    await other.apply(farmOf(1), 'ada');
    const child = await startChild({
      script: 'child-registry-postgres.ts',
      env: { REGISTRY_URL: url, TASK: 'edit-one', NAME: 'frozen' },
    });
    const pid = await withClient(url, async (holder) => {
      await holder.query(`BEGIN; ${LOCK}`);
      const name = await until('its edit to wait', async () => {
        const [row] = await sql(
          url,
          "SELECT application_name AS name FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()",
        );
        return row?.name;
      });
      const found = Number(String(name).replace('loam ', ''));
      process.kill(found, 'SIGSTOP');
      // The frozen one gets the lock now, and cannot give it back.
      await holder.query('COMMIT');
      return found;
    });
    const edit = () => other.apply([sensor('s0', { name: 'other' })], 'bob').then(() => true);
    await until('another edit', edit, { timeoutMs: 30_000 });
    process.kill(pid, 'SIGCONT');
    expect((await child.printed(2))[1]).to.equal('REGISTRY_UNAVAILABLE frozen');
    expect(other.current().get('sensor', 'north/frozen')).to.equal(undefined);
  });
});
