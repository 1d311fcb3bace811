import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync, type MqttClient } from 'mqtt';
import { z } from 'zod';
import { hashSecret } from '../../core/secrets.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { FarmWithPage, live } from './farm-with-page.ts';
import { LoamProcess, run } from './loam-process.ts';

const HOUR = 3_600_000;
const AHEAD = 3 * HOUR + 2 * 60_000;

const finding = z.object({ is: z.string(), byMs: z.number().optional(), propose: z.unknown().optional() });
const sensors = z.object({
  sensors: z.array(
    z.object({ id: z.string(), state: z.string(), lastSeen: z.number().nullable(), clockFinding: finding.optional() }),
  ),
});

describe('clocks of sensors, through the whole program', function () {
  this.timeout(300_000);
  let folder: string;
  let loam: LoamProcess;
  let url: string;
  let mqtt: string;
  const clients: MqttClient[] = [];

  beforeEach(async () => {
    folder = await temporaryFolder();
    const secret = (id: string) => hashSecret(`secret-${id}`);
    await writeFile(
      join(folder, 'registry.yaml'),
      `farms:
  - { id: north, name: North, timezone: Europe/Berlin }
sensors:
  - { id: p1, farm: north, secret: ${secret('p1')} }
  - { id: p2, farm: north }
  - { id: lora, farm: north, role: bridge, clock: { offset: -3600 }, secret: ${secret('lora')} }
`,
    );
    const ports = { LOAM_MQTT_PORT: '0', LOAM_HTTP_PORT: '0', LOAM_OPS_PORT: '0' };
    loam = new LoamProcess(['up', '--no-demo'], { LOAM_DATA: folder, ...ports });
    [, url = ''] = await loam.says(/Open (http:\/\/[^/]+)/);
    [, mqtt = ''] = await loam.says(/publish to (\S+) over MQTT/);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.endAsync();
    await loam.stop('SIGKILL');
  });

  async function connect(id: string) {
    const client = await connectAsync(`mqtt://${mqtt}`, { clientId: id, username: id, password: `secret-${id}` });
    clients.push(client);
    return (payload: unknown, sensor = id) =>
      client.publishAsync(`farms/north/sensors/${sensor}/telemetry`, JSON.stringify(payload), { qos: 1 });
  }
  async function get(path: string): Promise<Response> {
    const token = (await readFile(join(folder, 'admin-token'), 'utf8')).trim();
    return await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } });
  }
  async function now(id: string) {
    const { sensors: all } = sensors.parse(await (await get('/api/farms/north/sensors')).json());
    return all.find((one) => one.id === id);
  }
  /** The stored values of a sensor with their times (Unix ms), oldest first, once there are so many. */
  async function stored(sensor: string, count: number): Promise<(readonly [value: number, ts: number])[]> {
    const path = `/api/farms/north/export.csv?sensor=${sensor}&from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z`;
    return await until(`${count} values of ${sensor} are stored`, async () => {
      const lines = (await (await get(path)).text()).trim().split('\r\n').slice(1);
      const rows = lines
        .map((line) => line.split(','))
        .map((cells) => [Number(cells[5]), Date.parse(cells[6] ?? '')] as const);
      return rows.length === count ? rows : undefined;
    });
  }
  const env = () => ({ LOAM_DATA: folder, LOAM_URL: url });

  it('that begin anew at each power-on overwrite nothing, and are told of with what helps', async () => {
    const send = await connect('p1');
    const begun = Date.now();
    for (const value of [1, 2]) {
      for (const uptime of [10, 70]) await send({ ts: Date.UTC(2000, 0, 1) + uptime * 1000, values: { ec: value } });
    }
    const rows = await stored('p1', 4);
    expect(rows.map(([value]) => value)).to.deep.equal([1, 1, 2, 2]);
    for (const [, ts] of rows) expect(ts).to.be.within(begun, Date.now());
    const is = await until('it is found', async () => (await now('p1'))?.clockFinding);
    expect(is).to.deep.include({ is: 'jumps-back', propose: 'receipt' });
    const { stdout } = await run(['sensor', 'show', 'p1'], env());
    expect(stdout).to.match(
      /# its clock jumped back, to 2\d years behind.*receipt\? +loam sensor change p1 --farm north --clock receipt/,
    );
  });

  it('that are ahead are told of by their size though all is refused; one command corrects them by it', async () => {
    const send = await connect('p1');
    for (let n = 1; n <= 3; n++) await send({ ts: Date.now() + AHEAD, values: { ec: n } });
    const is = await until('it is found', async () => {
      const sensor = await now('p1');
      return sensor?.clockFinding?.propose === undefined ? undefined : sensor;
    });
    expect(is.state).to.equal('online');
    expect(is.lastSeen).to.be.within(Date.now() - 60_000, Date.now());
    expect(is.clockFinding?.is).to.equal('ahead');
    expect(is.clockFinding?.byMs).to.be.closeTo(AHEAD, 2_000);
    const { stdout } = await run(['sensor', 'show', 'p1'], env());
    const [, command = ''] = /its clock is 3 h 02 min ahead: correct by that\? +loam (.*)/.exec(stdout) ?? [];
    expect(command).to.match(/^sensor change p1 --farm north --clock ahead=109\d\d$/);
    expect((await run(command.split(' '), env())).code).to.equal(0);
    await until('it is right', async () => (await now('p1'))?.clockFinding?.is === 'right');
    const before = Date.now();
    await send({ ts: before + AHEAD, values: { ec: 4 } });
    const [row] = await stored('p1', 1);
    expect(row?.[0]).to.equal(4);
    expect(row?.[1]).to.be.closeTo(before, 3_000);
    expect((await run(['sensor', 'show', 'p1'], env())).stdout).to.include('# its clock is right\n');
  });

  it('that lag for hours are told of, and not as those that keep readings back', async () => {
    const send = await connect('p1');
    await until('it is found', async () => {
      await send({ ts: Date.now() - 5 * HOUR, values: { ec: 1 } });
      const is = (await now('p1'))?.clockFinding;
      expect(is?.is ?? 'behind').to.equal('behind');
      return is;
    });
    expect((await now('p1'))?.clockFinding?.byMs).to.be.closeTo(5 * HOUR, 2_000);
  });

  it('in the night in which they go back are told apart, or refused by name', async () => {
    const send = await connect('p1');
    const lot = ['02:10', '02:40', '02:10', '02:40'].map((time, i) => ({
      ts: `2025-10-26T${time}`,
      values: { ec: 31 + i },
    }));
    await send(lot);
    const utc = (time: string) => Date.parse(`2025-10-26T${time}Z`);
    expect(await stored('p1', 4)).to.deep.equal([
      [31, utc('00:10')],
      [32, utc('00:40')],
      [33, utc('01:10')],
      [34, utc('01:40')],
    ]);
    await send(lot[0]);
    await until('it is refused', async () =>
      (await (await get('/api/farms/north/dead-letters')).text()).includes('ambiguous_time'),
    );
  });

  it('of sensors behind a bridge are corrected as the bridge says, and as the sensor itself says when it does', async () => {
    const send = await connect('lora');
    const begun = Date.now();
    await send({ ts: begun + HOUR, values: { ec: 1 } }, 'p2');
    expect(await stored('p2', 1)).to.deep.equal([[1, begun]]);
    expect((await run(['sensor', 'change', 'p2', '--clock', 'ahead=7200'], env())).code).to.equal(0);
    await until('the sensor’s own counts', async () => {
      await send({ ts: begun + 2 * HOUR + 1_000, values: { ec: 2 } }, 'p2');
      const text = await (
        await get('/api/farms/north/export.csv?sensor=p2&from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z')
      ).text();
      return text.split('\r\n').length >= 4;
    });
    expect((await stored('p2', 2)).map(([, ts]) => ts)).to.deep.equal([begun, begun + 1_000]);
  });

  it('are set for a farm and taken away again by commands, which cannot be taken the wrong way round', async () => {
    const change = async (...args: string[]) => await run([...args], env());
    const shown = async () => (await change('farm', 'show', 'north')).stdout;
    expect((await change('farm', 'change', 'north', '--clock', 'ahead=60')).code).to.equal(0);
    expect(await shown()).to.include('clock: { offset: -60 }\n');
    expect((await change('farm', 'change', 'north', '--clock', 'behind=60')).code).to.equal(0);
    expect(await shown()).to.include('clock: { offset: 60 }\n');
    expect((await change('farm', 'change', 'north', '--clock', '')).code).to.equal(0);
    expect(await shown()).not.to.include('clock');
    for (const wrong of ['-60', 'ahead', 'ahead=-60', 'ahead=fast', 'later', 'offset=']) {
      const { code, stderr } = await change('farm', 'change', 'north', `--clock=${wrong}`);
      expect([code, stderr.includes('ahead=SECONDS')], wrong).to.deep.equal([2, true]);
    }
    expect((await change('sensor', 'change', 'p1', '--clock-floor', '2024-01-01')).code).to.equal(0);
    expect((await change('sensor', 'show', 'p1')).stdout).to.match(/clockFloor: "?2024-01-01"?\n/);
    expect((await change('sensor', 'change', 'p1', '--clock-floor', 'soon')).code).to.equal(2);
  });
});

describe('clocks of sensors, on the page', function () {
  this.timeout(300_000);
  let farm: FarmWithPage;

  before(async () => {
    farm = await FarmWithPage.start();
  });
  after(async () => {
    await farm?.stop();
  });

  it('that are ahead are said to be so by their size, and set right by one click of an admin', async () => {
    const sensor = await farm.sensor('s1');
    for (let n = 1; n <= 3; n++) await sensor.send({ soil_moisture: 31 }, Date.now() + AHEAD);
    const { page } = await farm.browse('ada', '/farms/north/sensors');
    await live(page);
    const cell = page.locator('[data-sensor-line="s1"] [data-label="Clock"]');
    await cell.getByText('3 h 02 min ahead').waitFor();
    const line = page.locator('[data-sensor-line="s1"]');
    expect(await line.textContent())
      .to.include('Wrong clock')
      .and.not.include('Never reported');
    await page.goto(`${farm.url}/farms/north/sensors/s1`);
    const fact = page.locator('.fact-warn', { hasText: 'Its clock is 3 h 02 min ahead' });
    await fact.getByRole('button', { name: 'Correct by that' }).click();
    await fact.waitFor({ state: 'detached' });
    await sensor.send({ soil_moisture: 27.5 }, Date.now() + AHEAD);
    await page.locator('.now').getByText('27.5').waitFor();
    await page.goto(`${farm.url}/farms/north/sensors`);
    await cell.getByText('correct').waitFor();

    const viewer = await farm.browse('vic', '/farms/north/sensors/s2');
    const other = await farm.sensor('s2');
    for (let n = 1; n <= 3; n++) await other.send({ soil_moisture: 31 }, Date.now() + AHEAD);
    const seen = viewer.page.locator('.fact-warn', { hasText: '3 h 02 min ahead' });
    await seen.waitFor();
    expect(await seen.getByRole('button').count(), 'of who may not change it').to.equal(0);
  });
});
