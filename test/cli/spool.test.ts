import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { hashSecret } from '../../core/secrets.ts';
import { decodeBatch } from '../../telemetry/batch.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { LoamProcess } from '../e2e/loam-process.ts';
import { startProxy } from '../services/proxy.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const REGISTRY = `farms:
  - { id: north, name: North Farm, timezone: Europe/Berlin }
fields: []
sensors:
  - { id: s1, farm: north, name: One, secret: ${hashSecret('the secret of s1')} }
metrics: []
users: []
`;

describe('loam broker with a spool, on a line that is down', function () {
  this.timeout(240_000);

  it('starts, acknowledges, dies, starts again, and forwards everything when the line is back', async () => {
    const { port, ctl } = await rabbit();
    const vhost = `spool-${process.pid}`;
    await ctl('add_vhost', vhost);
    await ctl('set_permissions', '-p', vhost, 'guest', '.*', '.*', '.*');
    const line = await startProxy(port);
    line.cut();
    const data = await temporaryFolder();
    await writeFile(join(data, 'registry.yaml'), REGISTRY);
    const url = (through: number) => `amqp://guest:guest@127.0.0.1:${through}/${vhost}`;
    const env = {
      LOAM_DATA: data,
      LOAM_REGISTRY: join(data, 'registry.yaml'),
      LOAM_QUEUE: url(line.port),
      LOAM_LOG: url(line.port),
      LOAM_SPOOL: `lmdb:${join(data, 'spool')}`,
      LOAM_MQTT_PORT: '0',
      LOAM_OPS_PORT: '0',
    };

    let broker = new LoamProcess(['broker'], env);
    const [, address] = await broker.says(/"mqtt":"(127\.0\.0\.1:\d+)"/);
    const sensor = await mqtt.connectAsync(`mqtt://${address}`, {
      username: 's1',
      password: 'the secret of s1',
      reconnectPeriod: 0,
    });
    const numbers = Array.from({ length: 20 }, (_, seq) => seq);
    // Each resolves with its PUBACK.
    for (const seq of numbers)
      await sensor.publishAsync(telemetryTopic('north', 's1'), JSON.stringify({ seq }), { qos: 1 });
    sensor.end(true);
    await broker.stop('SIGKILL');

    broker = new LoamProcess(['broker'], env);
    await broker.says(/broker is ready/);
    line.restore();
    await broker.says(/spool_empty/);
    const queue = await openRabbitQueue(url(port));
    const found: number[] = [];
    await queue.consume(
      async ({ body }) => {
        for (const { payload } of decodeBatch(body).publishes)
          found.push(JSON.parse(Buffer.from(payload).toString()).seq);
      },
      { prefetch: 1 },
    );
    await until('all have come', () => found.length >= numbers.length);
    expect(found).to.deep.equal(numbers);

    await queue.close();
    await broker.stop('SIGTERM');
    await line.close();
    await ctl('delete_vhost', vhost);
  });
});
