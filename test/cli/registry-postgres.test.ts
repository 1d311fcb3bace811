import { join } from 'node:path';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { type PostgresServer, startPostgres } from '../services/postgres.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

describe('a loam whose registry is in PostgreSQL', function () {
  this.timeout(180_000);
  let server: PostgresServer;
  let env: Record<string, string>;
  let mqttPort: number;
  let opsPort: number;
  const running: LoamProcess[] = [];

  before(async () => {
    server = await startPostgres();
  });
  after(() => server.close());

  beforeEach(async () => {
    [mqttPort, opsPort] = [await freePort(), await freePort()];
    env = {
      LOAM_DATA: join(await temporaryFolder(), 'data'),
      LOAM_REGISTRY: await server.createDatabase(),
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: String(opsPort),
    };
  });
  afterEach(() => Promise.all(running.splice(0).map((loam) => loam.stop())));

  async function up(): Promise<LoamProcess> {
    const loam = new LoamProcess(['up', '--no-demo'], env);
    running.push(loam);
    await loam.says(/Open http/);
    return loam;
  }

  async function addSensor(id: string): Promise<string> {
    const { stdout, stderr } = await run(['sensor', 'add', id, '--farm', 'farm'], env);
    const [, secret] = /password {2}(\S+)/.exec(stdout) ?? [];
    if (secret === undefined) throw new Error(stderr);
    return secret;
  }

  /** Resolves when the sensor's reading was acknowledged. */
  async function publishes(id: string, password: string): Promise<void> {
    const client = await until(`${id} to be let in`, () =>
      mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { username: id, clientId: id, password, reconnectPeriod: 0 }),
    );
    await client.publishAsync(`farms/farm/sensors/${id}/telemetry`, '{"soil_moisture": 31.2}', { qos: 1 });
    await client.endAsync();
  }

  async function registryHealth(): Promise<{ readonly ok?: unknown; readonly why?: unknown } | undefined> {
    const answer: unknown = await (await fetch(`http://127.0.0.1:${opsPort}/readyz`)).json();
    if (typeof answer !== 'object' || answer === null || !('checks' in answer)) return undefined;
    const checks: unknown = answer.checks;
    return Array.isArray(checks) ? checks.find((check: { name?: unknown }) => check.name === 'registry') : undefined;
  }

  it('fills it at a first start, and a sensor that the command line adds there is let in by the one that runs', async () => {
    await up();
    await publishes('probe-1', await addSensor('probe-1'));
    expect((await run(['sensor', 'list'], env)).stdout).to.include('probe-1');
    expect((await run(['check'], env)).stdout).to.match(/ok +registry: 1 farms, 1 sensors, 1 users/);
  });

  it('takes readings while the database is away, says so, and refuses edits; it does not start without it', async () => {
    const loam = await up();
    const secret = await addSensor('probe-1');
    await publishes('probe-1', secret);
    await server.kill();
    await until('it to say so', async () => (await registryHealth())?.ok === false, { timeoutMs: 30_000 });
    expect((await registryHealth())?.why).to.include('PostgreSQL at 127.0.0.1');
    await publishes('probe-1', secret);
    const refused = await run(['sensor', 'add', 'probe-2', '--farm', 'farm'], env);
    const started = await run(['up', '--no-demo'], { ...env, LOAM_DATA: join(await temporaryFolder(), 'data') });
    const { password } = new URL(env.LOAM_REGISTRY ?? '');
    for (const { code, stderr } of [refused, started]) {
      expect(code).to.equal(2);
      expect(stderr).to.include('LOAM_REGISTRY').and.include('ECONNREFUSED').and.not.include(password);
    }
    await server.start();
    await until('it to be well again', async () => (await registryHealth())?.ok === true, { timeoutMs: 30_000 });
    await publishes('probe-2', await addSensor('probe-2'));
    expect(loam.stderr).to.include('registry_away').and.include('registry_back').and.not.include(password);
  });
});
