import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync } from 'mqtt';
import { hashSecret } from '../../core/secrets.ts';
import { influx } from '../services/influx.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';

const REGISTRY = `farms:
  - { id: north, name: North, timezone: UTC }
sensors:
  - { id: s1, farm: north, secret: ${hashSecret('secret-s1')} }
users: []
`;
const LARGEST_KB = 1_024;
const MOST_READINGS = 10_000;
const VHOST = 'largest-payload';

/** As many readings as a payload may have, in exactly so many bytes. */
function largest(): string {
  const begin = Date.now() - MOST_READINGS * 1_000;
  const readings = Array.from({ length: MOST_READINGS }, (_, i) => ({
    ts: begin + i * 1_000,
    values: { soil_moisture: 20 + i / 1_000, soil_temperature: 11.25 },
  }));
  return JSON.stringify(readings).padEnd(LARGEST_KB * 1_024, ' ');
}

describe('the largest payload that is allowed', function () {
  this.timeout(120_000);

  async function isStored(env: Readonly<Record<string, string>>): Promise<void> {
    const data = join(await temporaryFolder(), 'data');
    await mkdir(data);
    await writeFile(join(data, 'registry.yaml'), REGISTRY);
    const [mqttPort, opsPort] = [await freePort(), await freePort()];
    const loam = new LoamProcess(['up'], {
      LOAM_DATA: data,
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: String(opsPort),
      LOAM_DEMO: 'false',
      LOAM_PAYLOAD_KB: String(LARGEST_KB),
      ...env,
    });
    try {
      await loam.says(/Loam is running/);
      const login = { username: 's1', password: 'secret-s1', reconnectPeriod: 0 };
      const sensor = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, login);
      const counted = async (line: RegExp) => {
        const text = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
        return Number(line.exec(text)?.[1] ?? 0);
      };
      const topic = 'farms/north/sensors/s1/telemetry';
      const payload = largest();
      await sensor.publishAsync(topic, payload, { qos: 1 });
      await sensor.publishAsync(topic, `${payload} `, { qos: 1 });
      await sensor.publishAsync(topic, '{"soil_moisture": 1}', { qos: 1 });
      await until(
        'all readings are stored',
        async () => (await counted(/^loam_readings_written_total\S* (\d+)/m)) === MOST_READINGS + 1,
        { timeoutMs: 60_000 },
      );
      expect(await counted(/^loam_dead_letters_total\{reason="too_large",kept="yes"\} (\d+)/m)).to.equal(1);
      await sensor.endAsync();
      expect(await loam.stop()).to.equal(0);
    } finally {
      await loam.stop('SIGKILL');
    }
  }

  it('passes the embedded queue, and all of its readings are in DuckDB', async () => {
    await isStored({});
  });

  it('passes RabbitMQ, and all of its readings are in InfluxDB', async () => {
    const [server, store] = [await rabbit(), await influx()];
    await server.ctl('add_vhost', VHOST);
    await server.ctl('set_permissions', '-p', VHOST, 'guest', '.*', '.*', '.*');
    await isStored({ LOAM_QUEUE: `${server.url}/${VHOST}`, LOAM_STORE: store.storeUrl('largest_payload') });
    await server.ctl('delete_vhost', VHOST);
  });
});
