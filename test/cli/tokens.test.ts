import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { SecretKeys } from '../../core/secret-key.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { itIfLong } from '../services/length.ts';
import { postgres } from '../services/postgres.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const TOKEN = 'A1_TEST_TOKEN/9f3+c0';
const FARMS = `farms:
  - { id: north, name: North, timezone: UTC }
  - { id: south, name: South, timezone: UTC }
`;

describe('loam sensor add --token', function () {
  this.timeout(120_000);
  let data: string;
  let path: string;
  let keyPath: string;
  let env: Record<string, string>;

  beforeEach(async () => {
    data = join(await temporaryFolder(), 'data');
    path = join(data, 'registry.yaml');
    keyPath = join(data, 'secret-key');
    env = { LOAM_DATA: data, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    await mkdir(data, { recursive: true });
    await writeFile(path, FARMS);
  });

  const add = (id: string, farm: string, token: string) =>
    run(['sensor', 'add', id, '--farm', farm, '--token', token], env);

  it('keeps the token by the key of the first start; a running Loam in the same folder lets the device in', async () => {
    const early = await add('p-1', 'north', TOKEN);
    expect([early.code, early.stderr.includes('LOAM_SECRET_KEY')], 'no command makes a key').to.deep.equal([2, true]);
    const mqttPort = await freePort();
    const loam = new LoamProcess(['up', '--no-demo'], { ...env, LOAM_MQTT_PORT: String(mqttPort) });
    try {
      await loam.says(/Loam is running/);
      expect((await stat(keyPath)).mode & 0o777).to.equal(0o600);
      expect(loam.stdout + loam.stderr)
        .to.include('secret_key_made')
        .and.include(keyPath);
      const added = await add('p-1', 'north', TOKEN);
      expect(added.code, added.stderr).to.equal(0);
      expect(added.stdout + added.stderr).not.to.include(TOKEN);
      const key = await readFile(keyPath, 'utf8');
      expect(parseRegistry(await readFile(path, 'utf8')).sensor('north', 'p-1')).to.include({
        token: new SecretKeys(key).keptToken(TOKEN),
      });
      for (const [id, farm, token] of [
        ['p-2', 'south', TOKEN],
        ['p-2', 'south', 'short'],
        ['p-2', 'north', 'a'.repeat(40)],
      ] as const) {
        const refused = await add(id, farm, token);
        expect([refused.code, refused.stderr]).to.deep.equal([2, (await add('p-2', 'north', '')).stderr]);
      }
      const client = await until('it is let in', () =>
        mqtt
          .connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { username: TOKEN, reconnectPeriod: 0 }, false)
          .catch(() => undefined),
      );
      await client.publishAsync('farms/north/sensors/p-1/telemetry', '{"m":1}', { qos: 1 });
      await client.endAsync();
      expect((await add('p-3', 'north', `${TOKEN}x`)).code).to.equal(0);
      expect(await readFile(keyPath, 'utf8'), 'still that key').to.equal(key);
    } finally {
      await loam.stop();
    }
  });

  it('a Loam whose registry others share makes no key: theirs must be the same', async () => {
    const loam = new LoamProcess(['up', '--no-demo'], {
      ...env,
      LOAM_REGISTRY: await (await postgres()).createDatabase(),
    });
    await rm(path);
    try {
      await loam.says(/Loam is running/);
      expect(await stat(keyPath).catch(() => undefined)).to.equal(undefined);
    } finally {
      await loam.stop();
    }
  });

  itIfLong('without its key no role that needs it starts: it exits 2 and names LOAM_SECRET_KEY', async () => {
    const key = 'k'.repeat(43);
    expect(
      (await run(['sensor', 'add', 'p-1', '--farm', 'north', '--token', TOKEN], { ...env, LOAM_SECRET_KEY: key })).code,
    ).to.equal(0);
    const servers = {
      LOAM_QUEUE: 'amqp://127.0.0.1:1',
      LOAM_LOG: 'amqp://127.0.0.1:1',
      LOAM_STORE: 'influx://127.0.0.1:1/x',
    };
    for (const [role, more] of [
      ['broker', servers],
      ['gateway', servers],
      ['up', {}],
    ] as const) {
      const { code, stderr } = await run([role], { ...env, ...more });
      expect(code, stderr).to.equal(2);
      expect(stderr, role).to.include('LOAM_SECRET_KEY').and.include('north/p-1').and.not.include(key);
      const given = await run([role], { ...env, ...servers, LOAM_SECRET_KEY: key });
      expect(given.code).to.equal(2);
      expect(given.stderr, role).to.include('cannot open').and.not.include('LOAM_SECRET_KEY');
    }
    const added = await add('p-2', 'north', `${TOKEN}x`);
    expect(added.code, 'another key would not fit').to.equal(2);
    expect(added.stderr).to.include('LOAM_SECRET_KEY');
    const checked = await run(['check'], env);
    expect(checked.stdout).to.match(/FAILED {2}registry: LOAM_SECRET_KEY/);
  });
});
