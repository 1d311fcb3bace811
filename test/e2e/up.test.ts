import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync } from 'mqtt';
import { temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess, run } from './loam-process.ts';
import { openPage, shown, shows } from './page.ts';

const ADDRESS = /Open (http:\/\/\S+)/;
const MQTT = /publish to (\S+) over MQTT/;

const TOKEN = 'a-token-of-more-than-thirty-two-characters';

const BAD_DAY = `seed: 5
groups:
  - { name: bad-away, count: 3, interval: 300ms, faults: [{ fault: offline, away: 6h, back: 1s, step: 5m }, { fault: wrong-clock, by: 3h, share: 0.3 }] }
  - { name: bad-echo, count: 3, interval: 200ms, faults: [{ fault: duplicates, share: 0.3 }, { fault: malformed, share: 0.3 }] }
  - { name: bad-flap, count: 3, interval: 200ms, faults: [{ fault: flapping, every: 800ms, down: 200ms }] }
`;

describe('loam up on a machine with nothing but Node', function () {
  this.timeout(120_000);
  let env: Record<string, string>;
  let loam: LoamProcess;

  before(async () => {
    env = {
      LOAM_DATA: join(await temporaryFolder(), 'data'),
      LOAM_MQTT_PORT: '0',
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: '0',
      LOAM_TOKEN: TOKEN,
    };
    // Everybody may look into it: what is in it is kept from them all the same.
    await mkdir(env.LOAM_DATA ?? '', { mode: 0o755 });
    const before = process.umask(0o022);
    loam = new LoamProcess(['up', '--token', TOKEN], env);
    process.umask(before);
  });

  after(async () => {
    await loam.stop('SIGKILL');
  });

  it('prints one address that signs in, and the page shows values of the demo farm that move', async () => {
    const [, address = ''] = await loam.says(ADDRESS);
    const { page, complaints, close } = await openPage(address);
    try {
      const value = page.locator('[data-sensor][data-metric="soil_moisture"]').first();
      await value.waitFor({ timeout: 60_000 });
      const readAll = async () => (await page.locator('[data-sensor][data-metric]').allTextContents()).join('|');
      const before = await readAll();
      await until('a value on the page moves', async () => (await readAll()) !== before, { timeoutMs: 30_000 });
      expect(page.url()).not.to.contain('token');
      expect(complaints.filter((text) => !text.includes('401'))).to.deep.equal([]);
    } finally {
      await close();
    }
  });

  it('shows no token that was given as an option in lists of processes', async () => {
    await loam.says(ADDRESS);
    const shown = await readFile(`/proc/${loam.child.pid}/cmdline`, 'utf8');
    expect(shown).to.include('up --token ***').and.not.include(TOKEN);
  });

  it('lets the address sign in once only', async () => {
    const [, address = ''] = await loam.says(ADDRESS);
    const { page, close } = await openPage(address);
    try {
      await page.getByRole('button', { name: /sign in/i }).waitFor();
      expect(await page.locator('[data-sensor]').count()).to.equal(0);
    } finally {
      await close();
    }
  });

  it('shows a number that a sensor of one’s own publishes, and its change', async () => {
    const added = await run(['sensor', 'add', 'probe-1', '--farm', 'demo', '--name', 'My probe'], env);
    expect(added.code, added.stderr).to.equal(0);
    const [, secret = ''] = /password\s+(\S+)/.exec(added.stdout) ?? [];
    const password = 'correct horse battery';
    const user = await run(['user', 'add', 'anna', '--role', 'viewer', '--farm', 'demo'], env, `${password}\n`);
    expect(user.code, user.stderr).to.equal(0);

    const [, address = ''] = await loam.says(ADDRESS);
    const [, mqtt = ''] = await loam.says(MQTT);
    await loam.says(/registry reloaded: \d+ sensors, 2 users/);
    const sensor = await until('the sensor connects', () =>
      connectAsync(`mqtt://${mqtt}`, { username: 'probe-1', password: secret, reconnectPeriod: 0 }).catch(
        () => undefined,
      ),
    );
    const { page, close } = await openPage(new URL(address).origin);
    try {
      await page.getByLabel(/user/i).fill('anna');
      await page.getByLabel(/password/i).fill(password);
      await page.getByRole('button', { name: /sign in/i }).click();
      const topic = 'farms/demo/sensors/probe-1/telemetry';
      await sensor.publishAsync(topic, '{"soil_moisture": 31.2}', { qos: 1 });
      await shows(page, 'probe-1', 'soil_moisture', '31.2');
      await sensor.publishAsync(topic, '{"soil_moisture": 47.9}', { qos: 1 });
      await shows(page, 'probe-1', 'soil_moisture', '47.9');
    } finally {
      await close();
      await sensor.endAsync();
    }
  });

  it('accounts for everything of a bad day of sensors that it has just been told of, and of a run that Ctrl-C ends', async () => {
    const [, address = ''] = await loam.says(ADDRESS);
    const [, mqtt = ''] = await loam.says(MQTT);
    const folder = await temporaryFolder();
    const profile = join(folder, 'bad.yaml');
    await writeFile(profile, BAD_DAY);
    const own = { ...env, LOAM_URL: new URL(address).origin };
    const told = ['simulate', '--profile', profile, '--farm', 'demo', '--mqtt', `mqtt://${mqtt}`, '--provision'];
    const verified = await run([...told, '--verify', '--for', '3'], own);
    expect(verified.code, verified.stdout + verified.stderr).to.equal(0);
    expect(verified.stdout).to.match(/9 sensors: [1-9]\d* readings, [1-9]\d* duplicates, [1-9]\d* malformed/);

    const endless = new LoamProcess([...told, '--report', join(folder, 'part.html')], own);
    await endless.says(/[1-9]\d* acknowledged/);
    expect(await endless.stop('SIGINT')).to.equal(130);
    const part = JSON.parse(await readFile(join(folder, 'part.json'), 'utf8'));
    expect(part).to.include({ ended: 'stopped', unacknowledged: 0 });
    expect(part.acknowledged).to.be.above(0);
  });

  it('keeps what it writes from other users of the machine, whatever the mode of its folder', async () => {
    const open: string[] = [];
    await loam.says(ADDRESS);
    const entries = await readdir(env.LOAM_DATA ?? '', { recursive: true });
    expect(entries).to.include('readings.duckdb');
    for (const entry of entries) {
      const { mode } = await stat(join(env.LOAM_DATA ?? '', entry));
      if ((mode & 0o077) !== 0) open.push(`${entry} ${(mode & 0o777).toString(8)}`);
    }
    expect(open).to.deep.equal([]);
  });

  it('drains on Ctrl-C, exits 0, and shows the same values when it is started again', async () => {
    // As a terminal does through npm: the same Ctrl-C twice.
    loam.child.kill('SIGINT');
    expect(await loam.stop('SIGINT')).to.equal(0);
    loam = new LoamProcess(['up', '--no-demo'], env);
    const [, address = ''] = await loam.says(ADDRESS);
    const { page, close } = await openPage(new URL(address).origin);
    try {
      await page.getByLabel(/user/i).fill('anna');
      await page.getByLabel(/password/i).fill('correct horse battery');
      await page.getByRole('button', { name: /sign in/i }).click();
      await shows(page, 'probe-1', 'soil_moisture', '47.9');
      const now = Date.now();
      const history = await page.request.get(
        `${new URL(address).origin}/api/farms/demo/history?sensor=probe-1&metric=soil_moisture&from=${now - 3_600_000}&to=${now}&points=500`,
      );
      const body = await history.json();
      expect(body.unit).to.equal('%');
      expect(body.rows.at(-1)[1]).to.equal(47.9);
      expect(await shown(page, 'probe-1', 'soil_moisture')).to.contain('47.9');
    } finally {
      await close();
    }
    expect(await readFile(join(String(env.LOAM_DATA), 'registry.yaml'), 'utf8')).to.contain('probe-1');
  });
});
