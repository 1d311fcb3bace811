import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { LoamProcess, run } from '../e2e/loam-process.ts';
import { freePort, temporaryFolder } from '../services/wait.ts';

const readySchema = z.object({ checks: z.array(z.object({ name: z.string(), ok: z.boolean() })) });

describe('the loam command', function () {
  this.timeout(60_000);
  let env: Record<string, string>;
  let ready: { checks: { name: string; ok: boolean }[] };
  let metrics: string;

  before(async () => {
    const data = join(await temporaryFolder(), 'data');
    env = { LOAM_DATA: data, LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    const loam = new LoamProcess(['up', '--no-demo'], env);
    await loam.says(/Open http/);
    const [, ops] = await loam.says(/"ops":"([\d.:]+)"/);
    ready = readySchema.parse(await (await fetch(`http://${ops}/readyz`)).json());
    metrics = await (await fetch(`http://${ops}/metrics`)).text();
    expect(await loam.stop()).to.equal(0);
  });

  it('up tells of the disk that it keeps everything on', () => {
    expect(ready.checks.filter(({ name }) => name === 'disk')).to.deep.equal([{ name: 'disk', ok: true }]);
    expect(metrics)
      .to.match(/^loam_disk_free_bytes \d+/m)
      .and.to.match(/^loam_disk_reserve_bytes \d+/m);
  });

  it('up --no-demo writes an empty farm with one admin who has no password, for its owner’s eyes only', async () => {
    const path = join(String(env.LOAM_DATA), 'registry.yaml');
    expect(await readFile(path, 'utf8'))
      .to.contain('name: admin')
      .and.to.contain('sensors: []');
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
  });

  it('check says ok of everything that is right', async () => {
    const { code, stdout } = await run(['check'], env);
    expect(stdout).not.to.contain('FAILED');
    expect(code).to.equal(0);
  });

  it('check names what cannot be reached, goes on with the rest, and exits 2', async () => {
    const port = await freePort();
    const { code, stdout } = await run(['check', '--store', `influx://127.0.0.1:${port}/loam`], env);
    expect(stdout)
      .to.match(new RegExp(`FAILED  store: LOAM_STORE.*${port}`))
      .and.to.match(/ok {6}queue/);
    expect(code).to.equal(2);
  });

  it('sensor add shows the secret once and keeps its hash; list and remove know the sensor', async () => {
    const added = await run(['sensor', 'add', 'probe-1', '--farm', 'farm', '--interval', '60'], env);
    const [, secret = ''] = /password {2}(\S+)/.exec(added.stdout) ?? [];
    expect(secret).to.have.length.greaterThan(21);
    expect(await readFile(join(String(env.LOAM_DATA), 'registry.yaml'), 'utf8')).not.to.contain(secret);
    expect((await run(['sensor', 'list'], env)).stdout).to.contain('probe-1');
    expect((await run(['sensor', 'remove', 'probe-1'], env)).code).to.equal(0);
    expect((await run(['sensor', 'list'], env)).stdout).not.to.contain('probe-1');
  });

  it('sensor add refuses a farm that is not there, and an id that is taken, with 2', async () => {
    const nowhere = await run(['sensor', 'add', 'probe-2', '--farm', 'nowhere'], env);
    expect(nowhere.code).to.equal(2);
    expect(nowhere.stderr).to.contain('nowhere');
    await run(['sensor', 'add', 'probe-3', '--farm', 'farm'], env);
    expect((await run(['sensor', 'add', 'probe-3', '--farm', 'farm'], env)).code).to.equal(2);
  });

  it('user add keeps a hash of the password and refuses a short one', async () => {
    const password = 'correct horse battery';
    expect((await run(['user', 'add', 'anna', '--role', 'admin'], env, `${password}\n`)).code).to.equal(0);
    const registry = await readFile(join(String(env.LOAM_DATA), 'registry.yaml'), 'utf8');
    expect(registry).to.contain('scrypt$').and.not.to.contain(password);
    expect((await run(['user', 'add', 'ben'], env, 'short\n')).code).to.equal(2);
    expect((await run(['user', 'remove', 'anna'], env)).code).to.equal(0);
  });

  it('simulate says where secrets come from when there are none, and what an address looks like', async () => {
    const none = await run(['simulate'], env);
    expect(none.code).to.equal(2);
    expect(none.stderr).to.contain('--secrets');
    const wrong = await run(['simulate', '--mqtt', 'http://example'], env);
    expect(wrong.code).to.equal(2);
    expect(wrong.stderr).to.contain('mqtt://');
  });
});
