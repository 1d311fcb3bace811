import { expect } from 'chai';
import mqtt from 'mqtt';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { RefusedReason } from '../../broker/auth/rights.ts';
import type { Broker } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { decodeBatch } from '../../telemetry/batch.ts';
import { startMosquitto } from '../services/mosquitto.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { connectAs, startBroker, topicOf } from './harness.ts';

describe('a Mosquitto that is a bridge', function () {
  this.timeout(60_000);
  let queue: Queue;
  let broker: Broker;
  let said: unknown[];
  let refused: [string, RefusedReason][];
  const kept: string[] = [];

  beforeEach(async () => {
    kept.length = 0;
    said = [];
    refused = [];
    queue = await openFileQueue(await temporaryFolder());
    await queue.consume(
      async ({ body }) =>
        void kept.push(...decodeBatch(body).publishes.map(({ payload }) => Buffer.from(payload).toString())),
      { prefetch: 1 },
    );
    const log = silent.child({});
    log.info = (fields: unknown) => void said.push(fields);
    broker = await startBroker(queue, {
      log,
      onRefused: ({ topic }, reason) => void refused.push([topic, reason]),
    });
  });
  afterEach(async () => {
    await broker.stop(2_000);
    await queue.close();
  });

  for (const more of [[], ['try_private false', 'notifications false'], ['bridge_protocol_version mqttv31']]) {
    it(`brings its readings ${more.length === 0 ? 'with its defaults' : `with ${more.join(', ')}`}`, async () => {
      const mosquitto = await startMosquitto({
        lines: [
          'connection loam',
          `address 127.0.0.1:${broker.port}`,
          'remote_username gate',
          'remote_password secret-gate',
          'topic farms/north/sensors/+/telemetry out 1',
          'restart_timeout 1',
          ...more,
        ],
      });
      await until('the bridge is let in', () => broker.counters.accepted > 0, { timeoutMs: 30_000 });
      const client = await mqtt.connectAsync(mosquitto.url, { reconnectPeriod: 0 });
      await client.publishAsync(topicOf('a1'), 'over the bridge', { qos: 1 });
      await until('the reading', () => kept.includes('over the bridge'), { timeoutMs: 30_000 });
      await client.endAsync();
      expect(refused).to.deep.equal([]);
      expect(kept).to.deep.equal(['over the bridge']);
      const notices = said.filter((fields) => JSON.stringify(fields).includes('bridge_notice'));
      const isQuiet = more.includes('notifications false');
      expect(notices).to.have.length(isQuiet ? 0 : 1);
      if (!isQuiet) await until('its notice is dropped', () => broker.counters.bridgeNotices > 0);
      const before = broker.counters.bridgeNotices;
      await mosquitto.close();
      if (!isQuiet) await until('its will is dropped', () => broker.counters.bridgeNotices > before);
      expect(refused).to.deep.equal([]);
    });
  }

  it('has no more rights under $SYS than that', async () => {
    const client = await connectAs(broker.port, 'gate');
    await client.publishAsync('$SYS/broker/connection/x/state', '1', { qos: 1 });
    await client.publishAsync('$SYS/broker/version', '1', { qos: 1 });
    expect(refused).to.deep.equal([['$SYS/broker/version', 'not_authorised']]);
    await client.endAsync();
    const stranger = { topic: '$SYS/broker/version', payload: Buffer.from('1'), qos: 0 as const, retain: false };
    const answer = await connectAs(broker.port, 'gate', { will: stranger }).then(
      () => 'let in',
      (error: Error) => error.message,
    );
    expect(answer).to.match(/Not authorized/);
  });
});
