import { expect } from 'chai';
import { euiIn, spellingsOf } from '../../telemetry/eui.ts';
import { isNotice } from '../../telemetry/notices.ts';
import { commandsTopic, parsePublishTopic, parseTelemetryTopic, telemetryTopic } from '../../telemetry/topic.ts';

describe('telemetry topic', () => {
  it('is read back as it was written', () => {
    for (const [farm, sensor] of [
      ['north', 's1'],
      ['N', '0'],
      ['a.b-c_d:e', 'x'.repeat(64)],
    ] as const) {
      expect(parseTelemetryTopic(telemetryTopic(farm, sensor))).to.deep.equal({ farm, sensor });
    }
  });

  it('is farms/{farm}/sensors/{sensor}/telemetry', () => {
    expect(telemetryTopic('north', 's1')).to.equal('farms/north/sensors/s1/telemetry');
    expect(commandsTopic('north', 's1')).to.equal('farms/north/sensors/s1/commands');
  });

  const others = [
    '',
    'farms/north/sensors/s1',
    'farms/north/sensors/s1/telemetry/',
    '/farms/north/sensors/s1/telemetry',
    'farms/north/sensors/s1/commands',
    'Farms/north/sensors/s1/telemetry',
    'farms/north/fields/s1/telemetry',
    'farms//sensors/s1/telemetry',
    'farms/north/sensors//telemetry',
    'farms/+/sensors/s1/telemetry',
    'farms/north/sensors/#/telemetry',
    'farms/-north/sensors/s1/telemetry',
    'farms/north/sensors/s 1/telemetry',
    'farms/north/sensors/s1\u0000/telemetry',
    'farms/north/sensors/s1\n/telemetry',
    'farms/nörd/sensors/s1/telemetry',
    `farms/north/sensors/${'x'.repeat(65)}/telemetry`,
  ];
  for (const topic of others) {
    it(`is not ${JSON.stringify(topic)}`, () => expect(parseTelemetryTopic(topic)).to.equal(undefined));
  }
});

describe('a topic that readings are published to', () => {
  const topics: [string, unknown][] = [
    ['farms/north/sensors/s1/telemetry', { form: 'native', farm: 'north', sensor: 's1' }],
    ['v1/devices/me/telemetry', { form: 'thingsboard' }],
    ['application/7/device/a84041f15612abcd/event/up', { form: 'chirpstack', sensor: 'a84041f15612abcd' }],
    ['application/d2f1-c0de/device/A84041F15612ABCD/event/up', { form: 'chirpstack', sensor: 'A84041F15612ABCD' }],
    ['application/1/device/0202020202020202/rx', { form: 'chirpstack', sensor: '0202020202020202' }],
    ['application/1/device/b1/event/status', { form: 'chirpstack_status', sensor: 'b1' }],
    ['application/1/device/b1/status', { form: 'chirpstack_status', sensor: 'b1' }],
    ['v1/devices/me/attributes', { form: 'thingsboard' }],
    ['v1/gateway/telemetry', { form: 'gateway' }],
    ['v1/gateway/attributes', { form: 'gateway' }],
    ['v3/soil@ttn/devices/probe-1/up', { form: 'ttn', sensor: 'probe-1' }],
    ['v3/soil/devices/probe-1/up', { form: 'ttn', sensor: 'probe-1' }],
  ];
  for (const [topic, says] of topics) {
    it(`${topic} is ${JSON.stringify(says)}`, () => expect(parsePublishTopic(topic)).to.deep.equal(says));
  }

  const foreign = [
    '',
    'farms/north/sensors/s1/commands',
    'farms/north/sensors/s1/telemetry/x',
    'v1/devices/me/attributes/request/1',
    'v1/gateway/connect',
    'v1/devices/me/telemetry/',
    'application/7/device/a84041f15612abcd/event/join',
    'application/7/device/a84041f15612abcd/event/up/x',
    'application//device/a84041f15612abcd/event/up',
    'application/7/device//event/up',
    'application/7/device/+/event/up',
    'v3/soil@ttn/devices/probe-1/up/x',
    'v3/soil@ttn/devices/probe-1/join',
    'v3/soil@ttn/devices/#/up',
    'v3/soil@ttn/devices/probe 1/up',
    `v3/soil@ttn/devices/${'x'.repeat(65)}/up`,
  ];
  for (const topic of foreign) {
    it(`${topic || 'an empty one'} is none`, () => expect(parsePublishTopic(topic)).to.equal(undefined));
  }
});

describe('a notice', () => {
  for (const topic of [
    '$SYS/broker/connection/gate/state',
    'tele/tasmota_9CF9D1/LWT',
    'shellies/shellyht-1/online',
    'zigbee2mqtt/bed/availability',
    'v1/devices/me/rpc/request/1',
    'v1/devices/me/attributes/request/1',
    'v1/gateway/connect',
    'v1/gateway/disconnect',
    'application/7/device/a84041f15612abcd/event/join',
    'application/7/device/a84041f15612abcd/event/ack',
    'application/7/device/a84041f15612abcd/event/txack',
    'application/7/device/a84041f15612abcd/join',
    'v3/soil@ttn/devices/probe-1/join',
    'v3/soil@ttn/devices/probe-1/down/sent',
    'v3/soil@ttn/devices/probe-1/up/normalized',
  ]) {
    it(`is ${topic}`, () => expect(isNotice(topic)).to.equal(true));
  }
  for (const topic of [
    'farms/north/sensors/s1/telemetry',
    'farms/north/sensors/s1/LWT',
    '$SYS/broker/LWT',
    'LWT',
    'tele/tasmota_9CF9D1/SENSOR',
    'application/7/device/a84041f15612abcd/event/up',
    'application/7/device/a84041f15612abcd/event/status',
    'application/7/device/a84041f15612abcd/rx',
    'v3/soil@ttn/devices/probe-1/up',
    'v1/gateway/telemetry',
    '',
  ]) {
    it(`is not ${topic || 'an empty topic'}`, () => expect(isNotice(topic)).to.equal(false));
  }
});

describe('an EUI', () => {
  const eui = 'a84041ffff123456';
  for (const id of [...spellingsOf(eui), 'A84041ffff123456', 'a8.40.41.ff.ff.12.34.56', 'EUI-A84041FFFF123456']) {
    it(`is ${id}`, () => expect(euiIn(id)).to.equal(eui));
  }
  for (const id of ['a84041ffff12345', 'a84041ffff1234567', 'g84041ffff123456', 'row-3', '', `${eui}-${eui}`]) {
    it(`is not ${id || 'an empty id'}`, () => expect(euiIn(id)).to.equal(undefined));
  }
});
