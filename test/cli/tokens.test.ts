import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { SecretKeys } from '../../core/secret-key.ts';
import { hashSecret } from '../../core/secrets.ts';
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

  it('reads it from standard input too, for one sensor, and for many from a CSV, of which all are registered or none', async () => {
    const keys = { LOAM_SECRET_KEY: 'k'.repeat(43) };
    const kept = (token: string) => new SecretKeys(keys.LOAM_SECRET_KEY).keptToken(token);
    const sensor = async (id: string) => parseRegistry(await readFile(path, 'utf8')).sensor('north', id);
    const stdin = ['--farm', 'north', '--secret-stdin'];
    const one = await run(['sensor', 'add', 'p-1', ...stdin], { ...env, ...keys }, `${TOKEN}\n`);
    expect([one.code, (one.stdout + one.stderr).includes(TOKEN)], one.stderr).to.deep.equal([0, false]);
    expect(await sensor('p-1')).to.include({ token: kept(TOKEN) });
    await run(['sensor', 'change', 'p-1', ...stdin], { ...env, ...keys }, `${TOKEN}y\n`);
    expect(await sensor('p-1')).to.include({ token: kept(`${TOKEN}y`) });
    const both = await run(['sensor', 'add', 'p-9', ...stdin, '--token', TOKEN], { ...env, ...keys }, TOKEN);
    expect([both.code, both.stderr.includes('one of')]).to.deep.equal([2, true]);

    const file = join(data, 'sensors.csv');
    const imports = async (text: string, more: Record<string, string> = keys) => {
      await writeFile(file, text);
      return await run(['sensor', 'import', file, '--farm', 'north'], { ...env, ...more });
    };
    const good = `\uFEFFid;token;name;position;clock\r\nb-1;${TOKEN};Bed 1;52.5,13.4;receipt\r\nb-2;;Bed 2;;\r\n`;
    const refused = [
      ['id,tokens\nb-1,x\n', 'line 1: a column "tokens"'],
      ['name\nx\n', 'line 1: no column id'],
      ['id,token,secret\nb,,\n', 'line 1: a column is there twice'],
      [`id,token\nb-1,${TOKEN}\nb-2,${TOKEN}\n`, 'b-2'],
      [`id,token\nb-1,\nb-2,hunter2\n`, 'line 3: a token has 20'],
      [`id,token\nb-1,\nb-2,${TOKEN}y\n`, 'line 3: a token has 20'],
      ['id,name\nb-1,x\np-1,y\n', 'line 3: farm "north" has a sensor "p-1" already'],
      ['id,interval\nb-1,often\n', 'line 2: --interval'],
      ['id,name\nb-1,"x\n', 'sensors.csv'],
      ['id\n,\n', 'sensors.csv'],
    ] as const;
    for (const [text, why] of refused) {
      const { code, stderr } = await imports(text);
      expect([code, stderr], text).to.satisfy(([, said]: [number, string]) => code === 2 && said.includes(why));
      expect(stderr).to.not.include(TOKEN).and.not.include('hunter2');
    }
    const keyless = await imports(good, {});
    expect([keyless.code, keyless.stderr.includes('LOAM_SECRET_KEY')], keyless.stderr).to.deep.equal([2, true]);
    expect(await sensor('b-1')).to.equal(undefined);
    const { code, stdout, stderr } = await imports(good);
    expect(code, stderr).to.equal(0);
    const [head, made = '', end] = stdout.split('\n');
    expect([head, made.split(',')[0], end]).to.deep.equal(['id,secret', 'b-2', '']);
    expect(await sensor('b-1')).to.deep.include({
      token: kept(TOKEN),
      name: 'Bed 1',
      position: [52.5, 13.4],
      clock: 'receipt',
    });
    expect(await sensor('b-2')).to.include({ secret: hashSecret(made.split(',')[1] ?? '') });
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
