import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { MqttClient } from 'mqtt';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { decodeBatch, type Publish } from '../../telemetry/batch.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { createValidate } from '../../workers/validate.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { connectAs, FARMS, startBroker } from './harness.ts';

const run = promisify(execFile);
const MAPPINGS = `
mappings:
  - { id: z2m, farm: north, kind: zigbee2mqtt, sensors: { Bed 1: A8-40-41-FF-FF-12-34-56 } }
  - { id: tasmota, farm: north, kind: tasmota, sensors: { tasmota_9CF9D1: a1 } }
  - { id: shelly, farm: north, kind: shelly }
  - { id: plain, farm: north, topic: "garden/{sensor}/{metric}" }
  - { id: own, farm: north, topic: "weather/{metric}", from: a1 }
`;
const EUI = '  - { id: A8-40-41-FF-FF-12-34-56, farm: north }';
/** The registry of the harness with one more sensor, and these mappings. */
const registryWith = (mappings: string) => `${FARMS.trimEnd()}\n${EUI}\n${mappings}`;

describe('publishes to topics of other systems', () => {
  let queue: Queue;
  let broker: Broker;
  let book: Book;
  let taken: Publish[];
  let refused: string[];
  const clients: MqttClient[] = [];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    book = new Book(registryWith(MAPPINGS));
    taken = [];
    refused = [];
    await queue.consume(async ({ body }) => void taken.push(...decodeBatch(body).publishes), { prefetch: 1 });
    broker = await startBroker(queue, { registry: book, onRefused: ({ topic }) => void refused.push(topic) });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await broker.stop(2_000);
    await queue.close();
  });

  async function as(sensor: string, options = {}): Promise<MqttClient> {
    const client = await connectAs(broker.port, sensor, options);
    client.on('error', () => {});
    clients.push(client);
    return client;
  }
  const pub = (sensor: string, topic: string, message: string) =>
    run('mosquitto_pub', [
      ...['-p', String(broker.port), '-i', `${sensor}-pub`, '-u', sensor, '-P', `secret-${sensor}`],
      ...['-q', '1', '-t', topic, '-m', message],
    ]);
  /** What workers make of what came so far: a sensor and its values each. */
  const readings = () =>
    createValidate({ registry: { current: () => book.current() } })(
      { id: 'b', publishes: taken },
      Date.now(),
    ).readings.map(({ sensor, values }) => [sensor, values]);

  it('of a bridge are of the sensors that the mappings say, from mosquitto_pub as from mqtt.js', async () => {
    await pub('gate', 'zigbee2mqtt/Bed 1', '{"soil_moisture": 31, "battery": 97}');
    await pub('gate', 'zigbee2mqtt/bridge/state', '{"state":"online"}');
    await pub('gate', 'tele/pump/SENSOR', '{"Time":"2026-05-01T14:00:00","ANALOG":{"A0":512}}');
    await pub('gate', 'tele/pump/LWT', 'Online');
    const gate = await as('gate');
    await gate.publishAsync('shellies/shellyht-1/sensor/temperature', '21.5', { qos: 1 });
    const notified = { method: 'NotifyStatus', params: { 'switch:0': { id: 0, apower: 8.9 } } };
    await gate.publishAsync('shellyplus1pm-1/events/rpc', JSON.stringify(notified), { qos: 1 });
    await gate.publishAsync('garden/bed/ec', '1.2', { qos: 1 });
    const device = { 'Device A': [{ ts: Date.now() - 1_000, values: { temperature: 42 } }] };
    await gate.publishAsync('v1/gateway/connect', '{"device":"Device A"}', { qos: 1 });
    await gate.publishAsync('v1/gateway/telemetry', JSON.stringify(device), { qos: 1 });
    await until('all', () => taken.length === 6);
    expect(readings()).to.deep.equal([
      ['A8-40-41-FF-FF-12-34-56', { soil_moisture: 31, battery_level: 97 }],
      ['pump', { analog_a0: 512 }],
      ['shellyht-1', { temperature: 21.5 }],
      ['shellyplus1pm-1', { switch_0_apower: 8.9 }],
      ['bed', { ec: 1.2 }],
      ['Device-A', { temperature: 42 }],
    ]);
    expect([refused, broker.counters.notices]).to.deep.equal([[], 3]);
  });

  it('of a sensor are its own or refused', async () => {
    const a1 = await as('a1', { will: { topic: 'tele/tasmota_9CF9D1/LWT', payload: Buffer.from('Offline'), qos: 0 } });
    await a1.publishAsync('tele/tasmota_9CF9D1/SENSOR', '{"ANALOG":{"A0":1}}', { qos: 1 });
    await a1.publishAsync('weather/ec', '1.2', { qos: 1 });
    await a1.publishAsync('garden/a1/ec', '1.3', { qos: 1 });
    const foreign = ['tele/pump/SENSOR', 'garden/a2/ec', 'zigbee2mqtt/Bed 1', 'v1/gateway/telemetry', 'attic/ec'];
    for (const topic of foreign) await a1.publishAsync(topic, '{"a":1}', { qos: 1 });
    const a2 = await as('a2', { will: { topic: 'home/a2/status', payload: Buffer.from('gone'), qos: 1 } });
    await a2.publishAsync('weather/ec', '1', { qos: 1 });
    a2.stream.destroy();
    await until('its will is dropped', () => broker.counters.notices === 1);
    await until('all', () => taken.length === 3);
    expect(readings()).to.deep.equal([
      ['a1', { analog_a0: 1 }],
      ['a1', { ec: 1.2 }],
      ['a1', { ec: 1.3 }],
    ]);
    expect(refused).to.deep.equal([...foreign, 'weather/ec']);
  });

  it('follow the registry while a client is connected', async () => {
    const gate = await as('gate');
    await gate.publishAsync('attic/bed', '{"ec":1}', { qos: 1 });
    expect(refused).to.deep.equal(['attic/bed']);
    book.change(registryWith('mappings: [{ id: attic, farm: north, topic: "attic/{sensor}" }]'));
    await gate.publishAsync('attic/bed', '{"ec":2}', { qos: 1 });
    await gate.publishAsync('garden/bed/ec', '1', { qos: 1 });
    await until('it', () => taken.length === 1);
    expect(readings()).to.deep.equal([['bed', { ec: 2 }]]);
    expect(refused).to.deep.equal(['attic/bed', 'garden/bed/ec']);
  });

  it('find a sensor by its EUI, however that is spelt; joins are passed over', async () => {
    const gate = await as('gate');
    const uplink = JSON.stringify({ deviceInfo: {}, object: { ec: 1 } });
    await gate.publishAsync('application/1/device/a84041ffff123456/event/join', '{}', { qos: 1 });
    await gate.publishAsync('application/1/device/a84041ffff123456/event/up', uplink, { qos: 1 });
    await gate.publishAsync('application/1/device/a84041ffff123456/rx', uplink, { qos: 1 });
    const ttn = JSON.stringify({ uplink_message: { decoded_payload: { ec: 1 } } });
    await gate.publishAsync('v3/garden@ttn/devices/eui-a84041ffff123456/up', ttn, { qos: 1 });
    await until('all', () => taken.length === 3);
    expect(new Set(taken.map(({ sensor }) => sensor))).to.deep.equal(new Set(['A8-40-41-FF-FF-12-34-56']));
    expect([refused, broker.counters.notices]).to.deep.equal([[], 1]);
  });

  it('begin, for a client of ThingsBoard’s, with subscriptions that are granted and stay silent', async () => {
    const a1 = await as('a1');
    const topics = ['v1/devices/me/attributes', 'v1/devices/me/attributes/response/+', 'v1/devices/me/rpc/request/+'];
    const granted = await a1.subscribeAsync(topics, { qos: 1 });
    expect(granted.map(({ qos }) => qos)).to.deep.equal([1, 1, 1]);
    await a1.publishAsync('v1/devices/me/rpc/request/1', '{"method":"getSessionLimits","params":{}}', { qos: 1 });
    await a1.publishAsync('v1/devices/me/attributes', '{"firmware":"v1","level":42}', { qos: 1 });
    await a1.publishAsync('v1/devices/me/telemetry', '{"temperature":22.5}', { qos: 1 });
    await until('both', () => taken.length === 2);
    expect(readings()).to.deep.equal([
      ['a1', { level: 42 }],
      ['a1', { temperature: 22.5 }],
    ]);
    expect(parseRegistry(registryWith(MAPPINGS)).mappings.all().length).to.equal(5);
  });

  it('begin with subscriptions to commands, which are granted where the devices of a mapped kind listen, and stay silent', async () => {
    const heard: string[] = [];
    const gate = await as('gate');
    gate.on('message', (topic) => heard.push(topic));
    const granted = async (...filters: readonly string[]) => {
      const codes = await gate.subscribeAsync([...filters], { qos: 0 }).catch(() => filters.map(() => ({ qos: 128 })));
      return codes.map(({ qos }) => qos < 128);
    };
    const listens = [
      ...['zigbee2mqtt/#', 'zigbee2mqtt/+/set', 'zigbee2mqtt/bridge/request/#', 'homeassistant/status'],
      ...['cmnd/tasmota_9CF9D1/#', 'cmnd/tasmotas/#', 'cmnd/DVES_9CF9D1_fb/#', 'cmnd/+/POWER'],
      ...['shellies/command', 'shellies/shelly1pm-68/relay/0/command', 'shellies/announce'],
      ...['shellyplus1pm-08/rpc', 'shellyplus1pm-08/command', 'shellyplus1pm-08/command/switch:0'],
    ];
    for (const filter of listens) expect(await granted(filter), filter).to.deep.equal([true]);
    const others = [
      '#',
      '+/#',
      '+/rpc',
      'farms/#',
      'farms/rpc',
      'farms/command/sensors/a1/commands',
      '$SYS/#',
      'tele/#',
    ];
    for (const filter of [...others, 'weather/#', 'x/status/#', 'stat/x/#']) {
      expect(await granted(filter), filter).to.deep.equal([false]);
    }
    await gate.publishAsync('zigbee2mqtt/Bed 1/set', '{"state":"ON"}', { qos: 1 });
    await gate.publishAsync('cmnd/tasmota_9CF9D1/POWER', 'ON', { qos: 1 }).catch(() => {});
    book.change(registryWith(MAPPINGS.replace(/^.*kind: tasmota.*\n/m, '')));
    expect(await granted('cmnd/tasmotas/#'), 'without its mapping').to.deep.equal([false]);
    expect(await granted('zigbee2mqtt/#')).to.deep.equal([true]);
    expect(heard).to.deep.equal([]);
    expect(broker.subscribers.heard()).to.deep.equal([]);
  });
});
