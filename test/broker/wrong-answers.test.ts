import { connect as connectTcp } from 'node:net';
import { expect } from 'chai';
import mqtt from 'mqtt';
import { COMMANDS_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { silent } from '../../core/logger.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { becomes, got, Stations, take, wish } from './downlink-place.ts';
import { takeOut, topicOf } from './harness.ts';
import { answer } from './mqtt-bytes.ts';

const PUBREC = 0x50;
const PUBCOMP = 0x70;

describe('a command', () => {
  let queue: Queue;
  let log: Log;
  let stations: Stations;
  const said: unknown[] = [];

  beforeEach(async () => {
    said.length = 0;
    queue = await openFileQueue(await temporaryFolder());
    log = await openFileLog(await temporaryFolder(), 'commands', COMMANDS_LOG_LIMITS);
    stations = new Stations(queue, log);
  });
  afterEach(async () => {
    await stations.stop();
    for (const part of [log, queue]) await part.close();
  });

  for (const [name, first] of [
    ['PUBREC', PUBREC],
    ['PUBCOMP', PUBCOMP],
  ] as const) {
    it(`that is answered with ${name} closes that connection, is counted and said, and comes again`, async () => {
      const logger = silent.child({});
      logger.warn = (fields: unknown) => void said.push(fields);
      const station = await stations.start({ logger });
      const other = await stations.listen(station, 'a2');
      const peer = await stations.listen(station, 'a1', { clean: false, clientId: 'valve' });
      const command = await station.commands.send(wish('a1', { valve: 1 }));
      await peer.next('publish');
      peer.send(answer(first, peer.publishes[0]?.id ?? 0));
      await peer.end();
      expect(station.broker.counters).to.include({ closedWrongAnswer: 1, malformed: 0 });
      await until('it is said', () => said.length > 0);
      expect(said).to.deep.equal([{ event: 'wrong_answer', sensor: 'north/a1' }]);
      expect(peer.of('pubrel')).to.deep.equal([]);
      const again = await stations.listen(station, 'a1', { clean: false, clientId: 'valve' });
      expect(await take(again, 1)).to.deep.equal([{ valve: 1 }]);
      expect(got(again)[0]?.id).to.equal(command.id);
      await becomes(station, command, 'delivered');
      await other.ping();
    });
  }
});

describe('a client of MQTT 3.1', () => {
  it('publishes, has a session that is kept, and gets commands', async () => {
    const queue = await openFileQueue(await temporaryFolder());
    const log = await openFileLog(await temporaryFolder(), 'commands', COMMANDS_LOG_LIMITS);
    const stations = new Stations(queue, log);
    const station = await stations.start();
    const options = {
      protocolId: 'MQIsdp',
      protocolVersion: 3,
      clientId: 'old-meter',
      clean: false,
      username: 'a1',
      password: 'secret-a1',
      reconnectPeriod: 0,
      will: { topic: topicOf('a1'), payload: Buffer.from('{"n":9}'), qos: 1, retain: false },
    } as const;
    const url = `mqtt://127.0.0.1:${station.broker.port}`;
    const client = await mqtt.connectAsync(url, options);
    await client.subscribeAsync('farms/north/sensors/a1/commands', { qos: 1 });
    for (const qos of [0, 1, 2] as const) await client.publishAsync(topicOf('a1'), `{"n":${qos}}`, { qos });
    const taken = await takeOut(queue, 3);
    expect(taken.map(({ payload }) => Buffer.from(payload).toString())).to.have.members([
      '{"n":0}',
      '{"n":1}',
      '{"n":2}',
    ]);
    await client.endAsync();
    const command = await station.commands.send(wish('a1', { valve: 1 }));
    const again = new mqtt.MqttClient(() => connectTcp(station.broker.port, '127.0.0.1'), options);
    const heard = await new Promise((resolve) =>
      again.on('message', (_, payload) => resolve(JSON.parse(payload.toString()))),
    );
    expect(heard).to.deep.include({ id: command.id, command: { valve: 1 } });
    await becomes(station, command, 'delivered');
    again.stream.destroy();
    expect((await takeOut(queue, 1)).map(({ payload }) => Buffer.from(payload).toString())).to.deep.equal(['{"n":9}']);
    await stations.stop();
    for (const part of [log, queue]) await part.close();
  });
});
