import { expect } from 'chai';
import { commandsTopic, parseTelemetryTopic, telemetryTopic } from '../../telemetry/topic.ts';

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
