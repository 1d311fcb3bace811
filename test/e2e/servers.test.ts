import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync } from 'mqtt';
import { hashPassword, hashSecret, newSecret } from '../../core/secrets.ts';
import { influx } from '../services/influx.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';
import { openPage, shows } from './page.ts';

describe('broker, worker and gateway as processes of their own, on RabbitMQ and InfluxDB', function () {
  this.timeout(120_000);
  const secret = newSecret();
  const password = 'correct horse battery';
  const database = `e2e${Date.now()}`;
  const processes: LoamProcess[] = [];
  let broker: LoamProcess;
  let worker: LoamProcess;
  let gateway: LoamProcess;

  before(async () => {
    const folder = await temporaryFolder();
    const registry = join(folder, 'registry.yaml');
    await writeFile(
      registry,
      `farms:
  - { id: north, name: North Farm, timezone: Europe/Berlin }
fields:
  - { id: f1, farm: north, name: Orchard }
sensors:
  - { id: s1, farm: north, field: f1, name: Row 3, secret: ${hashSecret(secret)} }
metrics:
  - { id: soil_moisture, label: Soil moisture, unit: "%", min: 20, max: 45, decimals: 1 }
users:
  - { name: anna, password: "${await hashPassword(password)}", farms: { north: viewer } }
`,
    );
    const servers = [await rabbit(), await influx()] as const;
    const env = {
      LOAM_DATA: folder,
      LOAM_REGISTRY: registry,
      LOAM_QUEUE: servers[0].url,
      LOAM_LOG: servers[0].url,
      LOAM_STORE: servers[1].storeUrl(database),
      LOAM_MQTT_PORT: '0',
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: '0',
    };
    const begin = (role: string) => {
      const started = new LoamProcess([role], env);
      processes.push(started);
      return started;
    };
    gateway = begin('gateway');
    worker = begin('worker');
    broker = begin('broker');
    await Promise.all([
      gateway.says(/gateway is ready/),
      worker.says(/worker is ready/),
      broker.says(/broker is ready/),
    ]);
  });

  after(async () => {
    for (const child of processes) await child.stop('SIGKILL');
  });

  it('brings a reading from the sensor to the screen and into InfluxDB', async () => {
    const [, url = ''] = await gateway.says(/"url":"([^"]+)"/);
    const [, mqtt = ''] = await broker.says(/"mqtt":"([^"]+)"/);
    const { page, close } = await openPage(url);
    const sensor = await connectAsync(`mqtt://${mqtt}`, { username: 's1', password: secret, reconnectPeriod: 0 });
    try {
      await page.getByLabel(/user/i).fill('anna');
      await page.getByLabel(/password/i).fill(password);
      await page.getByRole('button', { name: /sign in/i }).click();
      const topic = 'farms/north/sensors/s1/telemetry';
      const ts = Date.now() - 2_000;
      await sensor.publishAsync(topic, JSON.stringify({ ts, values: { soil_moisture: 31.2 } }), { qos: 1 });
      await shows(page, 's1', 'soil_moisture', '31.2');
      await sensor.publishAsync(topic, JSON.stringify({ ts: ts + 1_000, values: { soil_moisture: 47.9 } }), { qos: 1 });
      await shows(page, 's1', 'soil_moisture', '47.9');

      const server = await influx();
      const answer = await until('both points are in InfluxDB', async () => {
        const text = JSON.stringify(await server.query(database, 'SELECT soil_moisture, farm, sensor FROM readings'));
        return text.includes('31.2') && text.includes('47.9') ? text : undefined;
      });
      expect(answer).to.contain('"north"').and.to.contain('"s1"');
    } finally {
      await close();
      await sensor.endAsync();
    }
  });

  it('ends every process with 0 on SIGTERM', async () => {
    expect(await broker.stop('SIGTERM')).to.equal(0);
    expect(await worker.stop('SIGTERM')).to.equal(0);
    expect(await gateway.stop('SIGTERM')).to.equal(0);
  });
});
