import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAsync, type MqttClient } from 'mqtt';
import { hashSecret } from '../../core/secrets.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';

const REGISTRY = `farms:
  - { id: north, name: North, timezone: UTC }
sensors:
  - { id: s1, farm: north, secret: ${hashSecret('secret-s1')} }
users: []
`;

describe('the data folder of a running Loam', function () {
  this.timeout(120_000);
  let data: string;
  let ops: string;
  let loam: LoamProcess;
  let sensor: MqttClient;

  beforeEach(async () => {
    data = join(await temporaryFolder(), 'data');
    await mkdir(data);
    await writeFile(join(data, 'registry.yaml'), REGISTRY);
    const [mqttPort, opsPort] = [await freePort(), await freePort()];
    ops = `http://127.0.0.1:${opsPort}`;
    loam = new LoamProcess(['up'], {
      LOAM_DATA: data,
      LOAM_MQTT_PORT: String(mqttPort),
      LOAM_HTTP_PORT: '0',
      LOAM_OPS_PORT: String(opsPort),
      LOAM_DEMO: 'false',
    });
    await loam.says(/Loam is running/);
    sensor = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { username: 's1', password: 'secret-s1' });
  });

  afterEach(async () => {
    sensor.end(true);
    await loam.stop('SIGKILL');
  });

  const publish = (value: number) =>
    sensor.publishAsync('farms/north/sensors/s1/telemetry', JSON.stringify({ soil_moisture: value }), { qos: 1 });
  const readyz = async () => {
    const answer = await fetch(`${ops}/readyz`);
    return { status: answer.status, text: await answer.text() };
  };
  const heldPublishes = async () => {
    const text = await (await fetch(`${ops}/metrics`)).text();
    return Number(/^loam_broker_publishes (\d+)/m.exec(text)?.[1]);
  };
  /** Publishes, and resolves when the broker holds the message back. `acknowledged` says how it went on. */
  async function heldBack(value: number) {
    const message = { isAcknowledged: false, acknowledged: Promise.resolve() };
    message.acknowledged = publish(value).then(() => {
      message.isAcknowledged = true;
    });
    await until('it to be held', async () => (await heldPublishes()) === 1);
    return message;
  }

  it('whose queue was moved away and replaced takes nothing more, names it, and goes on when the right one is back', async () => {
    await publish(1);
    const queue = join(data, 'queue');
    await rename(queue, join(data, 'away'));
    await mkdir(queue);
    // With what lies in it: the queue of what takes long to read.
    const isNamed = (text: string) => text.includes(queue) && text.includes(': deleted, moved away or replaced');
    await until('it to be named', async () => isNamed((await readyz()).text));
    const message = await heldBack(2);
    expect((await readyz()).status).to.equal(503);
    expect(message.isAcknowledged).to.equal(false);
    await rm(queue, { recursive: true, maxRetries: 5 });
    await rename(join(data, 'away'), queue);
    await message.acknowledged;
    await until('it to be ready', async () => (await readyz()).status === 200);
    expect(await loam.stop()).to.equal(0);
  });

  it('that was deleted is named, nothing more is acknowledged, and Loam still stops when it is told to', async () => {
    await publish(1);
    await rm(data, { recursive: true, maxRetries: 5 });
    await until('it to be named', async () => (await readyz()).text.includes('restart Loam to go on'));
    const message = await heldBack(2);
    message.acknowledged.catch(() => {});
    expect(message.isAcknowledged).to.equal(false);
    expect(await loam.stop()).to.equal(0);
    expect(message.isAcknowledged).to.equal(false);
  });
});
