import { mkdir, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { someOf } from '../services/length.ts';
import { freePort, temporaryFolder } from '../services/wait.ts';

describe('loam up, when something is wrong at the start', function () {
  this.timeout(60_000);
  let env: Record<string, string>;

  beforeEach(async () => {
    env = {
      LOAM_DATA: join(await temporaryFolder(), 'data'),
      LOAM_MQTT_PORT: '0',
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: '0',
      LOAM_DEMO: 'false',
      LOAM_LOG_LEVEL: 'warn',
    };
  });

  async function refusesToStart(...words: (string | RegExp)[]): Promise<void> {
    const { code, stderr, stdout } = await run(['up'], env);
    expect(code, stderr).to.equal(2);
    expect(stdout).to.equal('');
    // A part that another one's failure ended may say that it took too long.
    const lines = stderr
      .trim()
      .split('\n')
      .filter((line) => !line.includes('stopping failed'));
    expect(lines, stderr).to.have.length(1);
    for (const word of words) expect(lines[0]).to.match(new RegExp(word));
  }

  for (const setting of someOf(['LOAM_MQTT_PORT', 'LOAM_HTTP_PORT', 'LOAM_OPS_PORT'], 2)) {
    it(`says in one line that the port of ${setting} is in use, and exits 2`, async () => {
      const other = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => other.once('listening', resolve));
      const address = other.address();
      const port = address !== null && typeof address === 'object' ? String(address.port) : '';
      env[setting] = port;
      try {
        await refusesToStart(setting, port);
      } finally {
        await new Promise((resolve) => other.close(resolve));
      }
    });
  }

  it('says that the data folder cannot be written, and exits 2', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    env.LOAM_DATA = join(file, 'data');
    await refusesToStart('LOAM_DATA', file);
  });

  it('says that InfluxDB 2 needs its organization, and exits 2', async () => {
    const server = createHttpServer((_, response) =>
      response.writeHead(204, { 'x-influxdb-version': 'v2.7.11' }).end(),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    expect((await run(['init'], env)).code).to.equal(0);
    env.LOAM_STORE = `influx://127.0.0.1:${port}/b?token=geheim`;
    try {
      await refusesToStart('LOAM_STORE', 'org=');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('says that a second one has the data folder, which the first goes on with, and exits 2', async () => {
    const first = new LoamProcess(['up'], env);
    try {
      await first.says(/Loam is running/);
      for (const other of [{}, { LOAM_STORE: `duckdb:${join(await temporaryFolder(), 'other.duckdb')}` }]) {
        Object.assign(env, other);
        await refusesToStart('LOAM_DATA', String(env.LOAM_DATA), `in use by process ${first.child.pid} on `);
      }
      const elsewhere = join(await temporaryFolder(), 'data');
      Object.assign(env, {
        LOAM_STORE: `duckdb:${join(String(env.LOAM_DATA), 'readings.duckdb')}`,
        LOAM_DATA: elsewhere,
      });
      expect((await run(['init'], env)).code).to.equal(0);
      await refusesToStart('LOAM_STORE', 'readings\\.duckdb is in use by process');
    } finally {
      expect(await first.stop()).to.equal(0);
    }
  });

  const places: [what: string, setting: string, value: string][] =
    process.platform === 'linux'
      ? [
          ['a folder that can never be made', 'LOAM_DATA', '/proc/x'],
          ['a folder that can only be read', 'LOAM_DATA', '/proc'],
          ['a file', 'LOAM_DATA', '/proc/version'],
          ['a folder under a file', 'LOAM_DATA', '/proc/version/data'],
          ['a queue in a folder that can never be made', 'LOAM_QUEUE', 'lmdb:/proc/x'],
          ['a log in a folder that can never be made', 'LOAM_LOG', 'lmdb:/proc/x'],
          ['a store in a folder that can never be made', 'LOAM_STORE', 'duckdb:/proc/x/readings.duckdb'],
        ]
      : [];
  for (const [what, setting, value] of places) {
    it(`says in one line that ${setting} is ${what}, and exits 2`, async () => {
      env[setting] = value;
      await refusesToStart(setting, '/proc');
    });
  }

  it('closes what it opened and exits 2 when something fails between two parts', async () => {
    expect((await run(['init'], env)).code).to.equal(0);
    await mkdir(join(String(env.LOAM_DATA), 'session-key'), { recursive: true });
    await refusesToStart('LOAM_DATA', 'session-key');
  });

  it('says in which line of the registry the typo is, and exits 2', async () => {
    const data = String(env.LOAM_DATA);
    await mkdir(data, { recursive: true });
    await writeFile(
      join(data, 'registry.yaml'),
      'farms:\n  - { id: north, name: North, timezone: Europe/Berlin }\nsensors:\n  - id: s1\n    farm: nroth\n',
    );
    await refusesToStart('LOAM_REGISTRY', 'registry\\.yaml:5', 'nroth');
  });

  it('says that LOAM_QUEUE cannot be reached, without its password, and exits 2', async () => {
    const port = await freePort();
    env.LOAM_QUEUE = `amqp://someone:hunter2@127.0.0.1:${port}`;
    const { stderr } = await run(['up'], env);
    expect(stderr).not.to.contain('hunter2');
    await refusesToStart('LOAM_QUEUE', String(port), 'ECONNREFUSED');
  });

  it('tells no password of any URL, in `check` and where no Loam answers', async () => {
    const at = `127.0.0.1:${await freePort()}`;
    const places = (url: string) => ({ LOAM_QUEUE: url, LOAM_LOG: url, LOAM_RABBITMQ_API: `http://u:hunter2@${at}` });
    const store = { LOAM_STORE: `influx://${at}/loam?u=a&p=hunter2`, LOAM_REGISTRY: `postgres://u:hunter2@${at}/x` };
    const tries: readonly (readonly [readonly string[], Record<string, string>])[] = [
      [['check'], { ...places(`amqp://hunter2@${at}/v?password=hunter2`), ...store }],
      [['check'], { ...places(`amqp://${at}#hunter2`), LOAM_REGISTRY: `postgres://u@${at}/x?sslpassword=hunter2` }],
      ...[`u:hunter2@${at}`, `hunter2@${at}`, `u%3Ahunter2%40${at}`, `${at}/%3Ftoken=hunter2`, `${at}?hunter2`].map(
        (url) => [['dead', 'list', '--farm', 'x'], { LOAM_URL: `http://${url}`, LOAM_TOKEN: 't'.repeat(40) }] as const,
      ),
    ];
    for (const [words, more] of tries) {
      const { code, stdout, stderr } = await run([...words], { ...env, ...more });
      expect(code, stdout).to.equal(2);
      expect(stdout + stderr, JSON.stringify(more)).to.include(words[0] === 'check' ? 'FAILED' : 'LOAM_URL');
      expect(stdout + stderr, JSON.stringify(more)).to.not.include('hunter2');
    }
  });

  it('names the setting, what was given and what is allowed', async () => {
    env.LOAM_MQTT_PORT = 'mqtt';
    await refusesToStart('LOAM_MQTT_PORT', '"mqtt"', 'allowed: a whole number');
  });

  it('refuses an unknown option', async () => {
    const { code, stderr } = await run(['up', '--mqqt-port', '1'], env);
    expect(code).to.equal(2);
    expect(stderr).to.contain('--mqqt-port');
  });

  it('refuses a role alone on files that belong to one process', async () => {
    const { code, stderr } = await run(['worker'], env);
    expect(code).to.equal(2);
    expect(stderr).to.match(/LOAM_QUEUE.*loam up/);
  });
});

describe('loam --help', () => {
  it('names every command and how to begin', async () => {
    const { code, stdout } = await run(['--help'], {});
    expect(code).to.equal(0);
    for (const word of ['up', 'broker', 'worker', 'gateway', 'simulate', 'check', 'sensor', 'user'])
      expect(stdout).to.match(new RegExp(`^  ${word} `, 'm'));
    expect(stdout).to.contain('Start here');
  });
});
