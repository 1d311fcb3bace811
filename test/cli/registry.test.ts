import { chown, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { hashSecret } from '../../core/secrets.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { influx } from '../services/influx.ts';
import { itIfLong, shortOrLong } from '../services/length.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';

const PASSWORD = 'correct horse battery\n';

const FARMS = `farms:
  - { id: north, name: North, timezone: UTC }
  - { id: south, name: South, timezone: UTC }
sensors:
  - { id: sb, farm: south, role: bridge, secret: ${hashSecret('secret-sb')} }
users: []
`;

describe('the registry of loam', function () {
  this.timeout(120_000);
  let data: string;
  let path: string;
  let env: Record<string, string>;

  beforeEach(async () => {
    data = join(await temporaryFolder(), 'data');
    path = join(data, 'registry.yaml');
    env = { LOAM_DATA: data, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
  });

  async function refusesToStart(): Promise<string> {
    const loam = new LoamProcess(['up'], env);
    // One that starts all the same must not run on.
    void loam.says(/Loam is running/).then(
      () => loam.stop('SIGKILL'),
      () => {},
    );
    const code = await loam.ended;
    const { stdout, stderr } = loam;
    expect(code, stderr).to.equal(2);
    expect(stdout).to.equal('');
    expect(stderr)
      .to.include('LOAM_REGISTRY')
      .and.include(path)
      .and.not.match(/^ +at /m);
    return stderr;
  }
  const isThere = (file: string) => stat(file).then(Boolean, () => false);

  describe('that is missing at the start', () => {
    const before: [what: string, file: string][] = [
      ['a queue', 'queue/data.mdb'],
      ['a log', 'log/live/data.mdb'],
      ['a store', 'readings.duckdb'],
      ['a secret', 'admin-token'],
    ];
    for (const [what, file] of before) {
      it(`is not replaced by a demo farm where ${what} of an earlier run is`, async () => {
        await mkdir(join(data, file, '..'), { recursive: true });
        await writeFile(join(data, file), 'x');
        expect(await refusesToStart())
          .to.include('loam init')
          .and.include('restore')
          .and.include(file.split('/')[0]);
        expect(await isThere(path)).to.equal(false);
        expect(await isThere(join(data, 'demo-secrets.json'))).to.equal(false);
      });
    }

    it('is not replaced by an empty farm either, and loam check says so', async () => {
      await mkdir(data, { recursive: true });
      await writeFile(join(data, 'readings.duckdb'), 'x');
      env.LOAM_DEMO = 'false';
      await refusesToStart();
      const checked = await run(['check'], env);
      expect(checked.code).to.equal(2);
      expect(checked.stdout).to.match(/FAILED {2}registry: .*loam init/);
      expect(await isThere(path)).to.equal(false);
    });

    it('is not made where a setting names a server', async () => {
      env.LOAM_STORE = (await influx()).storeUrl(`registry${Date.now()}`);
      expect(await refusesToStart()).to.include('LOAM_STORE');
      expect(await isThere(path)).to.equal(false);
    });

    it('is not replaced where its name is a link that leads nowhere', async () => {
      await mkdir(data, { recursive: true });
      await symlink(join(data, 'not-mounted', 'registry.yaml'), path);
      await refusesToStart();
    });

    it('is made by loam init, once: an empty farm with an admin who has no password yet', async () => {
      await mkdir(join(data, 'queue'), { recursive: true });
      await writeFile(join(data, 'queue', 'data.mdb'), 'x');
      expect((await run(['init'], env)).code).to.equal(0);
      const { farms, sensors, users } = parseRegistry(await readFile(path, 'utf8'));
      expect([farms.size, sensors.length, [...users.keys()]]).to.deep.equal([1, 0, ['admin']]);
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
      const again = await run(['init'], env);
      expect(again.code).to.equal(2);
      expect(again.stderr).to.include(path);
    });
  });

  it('is not taken at the start when it is empty, and is left as it is', async () => {
    await mkdir(data, { recursive: true });
    for (const text of ['', '# nothing\n', '{}\n']) {
      await writeFile(path, text);
      expect(await refusesToStart()).to.include('empty');
      expect(await readFile(path, 'utf8')).to.equal(text);
    }
  });

  it('that was good once is in force over a restart when it is emptied or lost, and every place says so', async () => {
    await mkdir(data, { recursive: true });
    await writeFile(path, FARMS);
    env.LOAM_OPS_PORT = String(await freePort());
    for (const lose of shortOrLong([() => rm(path)], [() => writeFile(path, ''), () => rm(path)])) {
      const good = new LoamProcess(['up'], env);
      await good.says(/Loam is running/);
      expect(await good.stop()).to.equal(0);
      await lose();
      const checked = await run(['check'], env);
      expect(checked.code).to.equal(2);
      expect(checked.stdout).to.match(/FAILED {2}registry: .*the last good registry stays in force/);
      const listed = await run(['sensor', 'list'], env);
      expect(listed.stdout).to.match(/^sb\tsouth/);
      expect(listed.stderr).to.include('the last good registry stays in force').and.include(path);
      const again = new LoamProcess(['up'], env);
      try {
        await again.says(/"event":"registry_refused".*the last good registry stays in force/);
        await again.says(/Loam is running/);
        const answer = await fetch(`http://127.0.0.1:${env.LOAM_OPS_PORT}/readyz`);
        expect(answer.status).to.equal(200);
        expect(await answer.text()).to.match(/"name":"registry","ok":false,"why":"[^"]*in force","optional":true/);
        await writeFile(path, FARMS);
        await again.says(/the registry is again what it was/);
      } finally {
        await again.stop('SIGKILL');
      }
    }
  });

  it('that is emptied or gone while Loam runs leaves everybody in, and is named in /readyz until it is mended', async () => {
    await mkdir(data, { recursive: true });
    await writeFile(path, FARMS);
    const [mqttPort, opsPort] = [await freePort(), await freePort()];
    const loam = new LoamProcess(['up', '--no-demo'], {
      ...env,
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_OPS_PORT: String(opsPort),
    });
    const registry = async () => {
      const answer = await fetch(`http://127.0.0.1:${opsPort}/readyz`);
      expect(answer.status).to.equal(200);
      const { checks }: { checks: { name: string; ok: boolean; why?: string }[] } = JSON.parse(await answer.text());
      return checks.find(({ name }) => name === 'registry');
    };
    const comesIn = async () => {
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
        username: 'sb',
        password: 'secret-sb',
        reconnectPeriod: 0,
      });
      await client.publishAsync('farms/south/sensors/x/telemetry', '{"m":1}', { qos: 1 });
      await client.endAsync();
    };
    try {
      await loam.says(/Loam is running/);
      for (const breakIt of [() => writeFile(path, ''), () => rm(path)]) {
        await breakIt();
        const wrong = await until('it is said', async () => {
          const check = await registry();
          return check?.ok === false && check;
        });
        expect(wrong.why).to.include(path).and.include('in force');
        await comesIn();
        await writeFile(path, FARMS);
        await until('it is mended', async () => (await registry())?.ok);
      }
    } finally {
      await loam.stop();
    }
  });

  it('belongs to whom it belonged when root has edited it from the command line', async () => {
    // Only root can give files away; for anybody else these are their own.
    const isRoot = process.geteuid?.() === 0;
    const owner = isRoot ? 1234 : (process.geteuid?.() ?? -1);
    const group = isRoot ? 1234 : (process.getegid?.() ?? -1);
    await mkdir(data, { recursive: true });
    await writeFile(path, FARMS, { mode: 0o600 });
    await chown(path, owner, group);
    await chown(data, owner, group);
    const before = await stat(path);
    expect((await run(['user', 'add', 'anna', '--role', 'admin'], env, PASSWORD)).code).to.equal(0);
    // Each edit makes a new file. A third one may have the number of the first, which is gone by then.
    const between = await stat(path);
    expect(between.ino).not.to.equal(before.ino);
    expect((await run(['sensor', 'add', 'p-1', '--farm', 'north'], env)).code).to.equal(0);
    const { uid, gid, mode, ino } = await stat(path);
    expect([uid, gid, mode & 0o777]).to.deep.equal([owner, group, 0o600]);
    expect(ino).not.to.equal(between.ino);
  });

  itIfLong('keeps the farms of a user who gets a new password: what is not given does not change', async () => {
    await mkdir(data, { recursive: true });
    await writeFile(path, FARMS);
    const add = async (...options: string[]) => {
      const { code, stderr } = await run(['user', 'add', 'anna', ...options], env, PASSWORD);
      expect(code, stderr).to.equal(0);
      const anna = parseRegistry(await readFile(path, 'utf8')).users.get('anna');
      return { farms: anna?.farms, password: anna?.password };
    };
    const first = await add('--farm', 'north', '--role', 'agronomist');
    expect(first.farms).to.deep.equal({ north: 'agronomist' });
    const second = await add();
    expect(second.farms).to.deep.equal({ north: 'agronomist' });
    expect(second.password).not.to.equal(first.password);
    expect((await add('--farm', 'south')).farms).to.deep.equal({ north: 'agronomist', south: 'viewer' });
    expect((await add('--farm', 'north')).farms).to.deep.equal({ north: 'agronomist', south: 'viewer' });
    expect((await add('--farm', 'south', '--role', 'admin')).farms).to.deep.equal({
      north: 'agronomist',
      south: 'admin',
    });
    expect((await add('--role', 'viewer')).farms).to.deep.equal({ north: 'viewer', south: 'viewer' });
    const everywhere = async (...options: string[]) => {
      expect((await run(['user', 'add', 'carl', ...options], env, PASSWORD)).code).to.equal(0);
      return parseRegistry(await readFile(path, 'utf8')).users.get('carl')?.farms;
    };
    expect(await everywhere('--role', 'admin')).to.deep.equal({ '*': 'admin' });
    expect(await everywhere('--farm', 'north'), 'who is on every farm is on this one').to.deep.equal({ '*': 'admin' });
    const { stdout } = await run(['user', 'add', 'ben'], env, PASSWORD);
    expect(stdout).to.include('ben is viewer on every farm');
  });

  itIfLong('takes an id in two farms; loam sensor remove then needs the farm, and says which there are', async () => {
    await mkdir(data, { recursive: true });
    await writeFile(path, FARMS);
    for (const farm of ['north', 'south']) {
      expect((await run(['sensor', 'add', 'dev-1', '--farm', farm], env)).code).to.equal(0);
    }
    const again = await run(['sensor', 'add', 'dev-1', '--farm', 'north'], env);
    expect([again.code, again.stderr]).to.satisfy(([code, text]: [number, string]) => code === 2 && /dev-1/.test(text));
    const having = async () =>
      parseRegistry(await readFile(path, 'utf8'))
        .sensorsWithId('dev-1')
        .map(({ farm }) => farm);
    const unclear = await run(['sensor', 'remove', 'dev-1'], env);
    expect(unclear.code).to.equal(2);
    expect(unclear.stderr).to.include('--farm').and.include('north, south');
    expect(await having()).to.deep.equal(['north', 'south']);
    expect((await run(['sensor', 'remove', 'dev-1', '--farm', 'south'], env)).code).to.equal(0);
    expect(await having()).to.deep.equal(['north']);
    expect((await run(['sensor', 'remove', 'dev-1', '--farm', 'south'], env)).code).to.equal(2);
    expect((await run(['sensor', 'remove', 'dev-1'], env)).code).to.equal(0);
    expect((await run(['sensor', 'remove', 'dev-1'], env)).code).to.equal(2);
    expect(await having()).to.deep.equal([]);
  });
});
