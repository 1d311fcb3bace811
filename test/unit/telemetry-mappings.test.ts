import { expect } from 'chai';
import { readPattern, takenBy } from '../../telemetry/mappings/pattern.ts';
import { sensorIdOf } from '../../telemetry/mappings/sensor-name.ts';
import { placeOf } from '../../telemetry/publish-place.ts';
import { ReadingRegistryCopy, readingChangesIn, readingChangesOf } from '../../telemetry/reading-registry.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { MOST_OF_FARM } from '../../telemetry/registry/mappings.ts';
import type { Sensor } from '../../telemetry/registry/things.ts';
import { createValidate } from '../../workers/validate.ts';
import { RECEIVED } from './telemetry-payloads.ts';

const FARM = 'farms: [{ id: north, name: North, timezone: Europe/Berlin }, { id: south, name: South, timezone: UTC }]';
const SENSORS = 'sensors: [{ id: gate, farm: north, role: bridge }, { id: p1, farm: north }, { id: p2, farm: north }]';
const SOURCES = 'sources: [{ id: old, farm: north, url: "mqtt://127.0.0.1:1", topics: ["#"] }]';
const registryOf = (...mappings: string[]) =>
  parseRegistry(
    `${FARM}\n${SENSORS}\n${SOURCES}\nmappings: [${mappings.map((one) => `{ farm: north, ${one} }`).join(', ')}]`,
  );

describe('a topic pattern', () => {
  const taken = (pattern: string, topic: string) => {
    const read = readPattern(pattern);
    return typeof read === 'string' ? read : takenBy(read, topic.split('/'));
  };

  it('takes levels, rests of levels and names', () => {
    expect(taken('tele/{sensor}/SENSOR', 'tele/bed 1/SENSOR')).to.deep.equal({ sensor: 'bed 1' });
    expect(taken('{sensor}/{metric}', 'bed/ec')).to.deep.equal({ sensor: 'bed', metric: 'ec' });
    expect(taken('x/{sensor}/{path}', 'x/bed/relay/0/power')).to.deep.equal({ sensor: 'bed', path: 'relay_0_power' });
    expect(taken('x/tasmota_{sensor}/+/y', 'x/tasmota_9C/z/y')).to.deep.equal({ sensor: '9C' });
    expect(taken('x/#', 'x')).to.deep.equal({});
    expect(taken('x/#', 'x/y/z')).to.deep.equal({});
    for (const [pattern, topic] of [
      ['{sensor}/{metric}', 'bed'],
      ['{sensor}/{metric}', 'bed/soil/ec'],
      ['x/tasmota_{sensor}', 'x/tasmota_'],
      ['x/{sensor}', 'x/'],
      ['x/{sensor}/{path}', 'x/bed'],
      ['x/#', 'y/x'],
      ['x/{sensor}', `x/${'y'.repeat(300)}`],
    ] as const) {
      expect(taken(pattern, topic), `${pattern} ${topic}`).to.equal(undefined);
    }
  });

  it('is refused when it is no filter, or takes what is Loam’s', () => {
    for (const pattern of [
      '',
      '/x',
      'farms/{sensor}/x',
      '$SYS/{sensor}',
      '{sensor}/#/x',
      '{path}/x',
      'x+/y',
      '{sensor}/{sensor}',
      '{sensor}{metric}',
      '{metric}/{path}',
      '{humidity}',
      'a{path}',
      'x/\u0000',
      'x/'.repeat(40),
      'x'.repeat(600),
    ]) {
      expect(readPattern(pattern), pattern).to.be.a('string');
    }
  });
});

describe('a sensor’s foreign name', () => {
  for (const [name, id] of [
    ['bed-1', 'bed-1'],
    ['Device A', 'Device-A'],
    ['Gewächshaus 1 ', 'Gewachshaus-1'],
    ['土', undefined],
    ['', undefined],
    ['x'.repeat(100), 'x'.repeat(64)],
    ['x'.repeat(300), undefined],
  ] as const) {
    it(`${name.slice(0, 20)} is ${id?.slice(0, 20)}`, () => expect(sensorIdOf(name)).to.equal(id));
  }
});

describe('a mapping', () => {
  it('is refused with a reason when it means nothing, or what its publisher has no right to', () => {
    for (const [mapping, why] of [
      ['id: m', 'it has a topic, or a kind'],
      ['id: m, topic: "farms/{sensor}"', 'Loam’s own'],
      ['id: m, kind: homekit', 'kind'],
      ['id: m, kind: tasmota, topic: "tele/{sensor}/#"', 'cannot end in #'],
      ['id: m, kind: tasmota, metric: ec', 'a kind knows itself'],
      ['id: m, topic: "x/{sensor}", sensor: p1', 'the topic names the sensor already'],
      ['id: m, topic: "x/{metric}", metric: ec', 'the topic names the metric already'],
      ['id: m, topic: "x/{metric}", codec: a.js', 'a codec names the metrics itself'],
      ['id: m, topic: x, sensors: { a: p1 }', 'has no {sensor}'],
      ['id: m, topic: x, from: nobody', 'has no sensor, bridge or source "nobody"'],
      ['id: m, topic: x, from: p1, sensor: p2', '"p1" is no bridge: it has no right to publish as "p2"'],
      ['id: m, topic: "x/{sensor}", from: p1, sensors: { a: p2 }', 'has no right to publish as "p2"'],
    ] as const) {
      expect(() => registryOf(mapping), mapping).to.throw(why);
    }
    expect(() => parseRegistry('mappings: [{ id: m, farm: east, topic: x }]')).to.throw('there is no farm "east"');
    const many = Array.from({ length: MOST_OF_FARM + 1 }, (_, i) => `id: m${i}, topic: x`);
    expect(() => registryOf(...many)).to.throw(`a farm has at most ${MOST_OF_FARM}`);
    registryOf(...many.slice(1));
    for (const right of ['from: gate, sensor: p2', 'from: old, sensor: p2', 'from: p1, sensor: p1', 'from: p1']) {
      registryOf(`id: m, topic: x, ${right}`);
    }
  });

  it('that is most exact counts, and one’s own before everybody’s', () => {
    const registry = registryOf(
      'id: a, topic: "{sensor}/{metric}"',
      'id: b, topic: "greenhouse/{metric}", sensor: p1',
      'id: c, topic: greenhouse/ph, sensor: p2, metric: ph',
      'id: d, topic: greenhouse/ph, sensor: p1, metric: ph, from: old',
      'id: e, topic: "{sensor}/{path}"',
    );
    const found = (topic: string, by = 'gate', farm = 'north') => {
      const mapped = registry.mappings.find(farm, by, topic);
      return mapped && [mapped.sensor, mapped.metric];
    };
    expect(found('bed/ec')).to.deep.equal(['bed', 'ec']);
    expect(found('greenhouse/ec')).to.deep.equal(['p1', 'ec']);
    expect(found('greenhouse/ph')).to.deep.equal(['p2', 'ph']);
    expect(found('greenhouse/ph', 'old')).to.deep.equal(['p1', 'ph']);
    expect(found('bed/soil/ec')).to.deep.equal(['bed', 'soil_ec']);
    for (const topic of ['bed', 'farms/x', '$SYS/x', 'v1/gateway/telemetry', '土/ec']) {
      expect(found(topic), topic).to.equal(undefined);
    }
    expect(found('bed/ec', 'gate', 'south')).to.equal(undefined);
  });

  it('follows the registry when it is changed or removed', () => {
    const registry = registryOf('id: a, topic: "x/{sensor}"');
    const edit = (value: object | null) => registry.apply(registry.check([{ kind: 'mapping', id: 'north/a', value }]));
    expect(registry.mappings.find('north', 'gate', 'x/bed')?.sensor).to.equal('bed');
    edit({ id: 'a', farm: 'north', topic: 'y/{sensor}' });
    expect(registry.mappings.find('north', 'gate', 'x/bed')).to.equal(undefined);
    expect(registry.mappings.find('north', 'gate', 'y/bed')?.sensor).to.equal('bed');
    edit(null);
    expect(registry.mappings.find('north', 'gate', 'y/bed')).to.equal(undefined);
    expect([...registry.things()].map(({ kind }) => kind)).to.not.include('mapping');
  });
});

describe('what came to a mapped topic', () => {
  const at = RECEIVED - 60_000;
  /** What becomes of a publish of bridge `gate`: readings as sensor, time before the receipt and values; reasons; and the count of what was passed over. */
  const became = (topic: string, payload: unknown, ...mappings: string[]) => {
    const registry = registryOf(...mappings);
    const place = placeOf(registry, 'north', 'gate', topic);
    const bytes = new TextEncoder().encode(typeof payload === 'string' ? payload : JSON.stringify(payload));
    const publish = {
      farm: 'north',
      field: 'f',
      sensor: place?.sensor ?? 'gate',
      topic,
      payload: bytes,
      received: RECEIVED,
    };
    const via = { kind: 'bridge', id: 'gate' } as const;
    const validate = createValidate({ registry: { current: () => registry } });
    const outcome = validate({ id: 'b', publishes: [{ ...publish, via }] }, RECEIVED);
    return {
      readings: outcome.readings.map(({ sensor, ts, values }) => [sensor, ts - RECEIVED, values]),
      dead: outcome.dead.map(({ reason }) => reason),
      skipped: outcome.skipped,
    };
  };
  const reading = (sensor: string, values: object, ago = 0) => ({ readings: [[sensor, 0 - ago, values]], dead: [] });

  it('is one value, as a number, a number with a unit, or a word for on and off', () => {
    const generic = 'id: m, topic: "{sensor}/{metric}"';
    for (const [payload, value] of [
      ['31.2', 31.2],
      [' 31.2\n', 31.2],
      ['31.2 %', 31.2],
      ['"31.2"', 31.2],
      ['true', 1],
      ['OFF', 0],
    ] as const) {
      expect(became('bed/soil_moisture', payload, generic)).to.deep.include(reading('bed', { soil_moisture: value }));
    }
    expect(became('bed/soil', { ec: 1, t: 'x' }, generic)).to.deep.include(reading('bed', { ec: 1 }));
    const fixed = 'id: m, topic: tank/raw, sensor: tank-1, metric: water_level';
    expect(became('tank/raw', '64.4 cm', fixed)).to.deep.include(reading('tank-1', { water_level: 0.644 }));
    const nothing = { readings: [], dead: [], skipped: 1 };
    for (const payload of ['', 'unavailable', 'null']) {
      expect(became('bed/soil_moisture', payload, generic), payload).to.deep.equal(nothing);
    }
    expect(became('bed/soil_moisture', '5 furlongs', generic).dead).to.deep.equal(['wrong_unit']);
  });

  it('is an object of values, with its time', () => {
    const values = 'id: m, topic: "logger/{sensor}", sensors: { n7: p1 }';
    expect(became('logger/n7', { ec: 1, soil: { t: 18.4 } }, values)).to.deep.include(
      reading('p1', { ec: 1, soil_t: 18.4 }),
    );
    expect(became('logger/n8', { ts: at, values: { ec: 1 } }, values)).to.deep.include(
      reading('n8', { ec: 1 }, 60_000),
    );
    expect(became('logger/n7', 'x', values).dead).to.deep.equal(['not_json']);
  });

  it('is set aside when the mapping is gone', () => {
    expect(became('logger/n7', { ec: 1 }, 'id: m, topic: other').dead).to.deep.equal(['no_mapping']);
  });

  it('is what a device of Zigbee2MQTT measures', () => {
    const mapping = 'id: m, kind: zigbee2mqtt, sensors: { "Bed 1 soil": p1 }';
    const payload = {
      battery: 97,
      voltage: 3000,
      soil_moisture: 31,
      temperature: 18.4,
      linkquality: 120,
      last_seen: new Date(at).toISOString(),
      update: { state: 'idle', installed_version: 4_099, latest_version: 4_099 },
      update_available: false,
      device: { ieeeAddr: '0x00158d0001234567', manufacturerID: 4_447 },
    };
    const values = { soil_moisture: 31, temperature: 18.4, linkquality: 120, battery_level: 97, battery: 3 };
    expect(became('zigbee2mqtt/Bed 1 soil', payload, mapping)).to.deep.include(reading('p1', values, 60_000));
    const plug = { state: 'ON', power: 12.5, voltage: 231, last_seen: at };
    expect(became('zigbee2mqtt/pump', plug, mapping)).to.deep.include(
      reading('pump', { state: 1, power: 12.5, voltage: 231 }, 60_000),
    );
    for (const topic of ['zigbee2mqtt/bridge/devices', 'zigbee2mqtt/pump/set']) {
      expect(became(topic, [{}], mapping), topic).to.deep.equal({ readings: [], dead: [], skipped: 1 });
    }
    const house = 'id: m, kind: zigbee2mqtt, topic: "house/{sensor}"';
    expect(became('house/pump', plug, house).readings.length).to.equal(1);
    expect(became('house/bridge/state', {}, house)).to.deep.equal({ readings: [], dead: [], skipped: 1 });
  });

  it('is what the sensors at a Tasmota measure, and its state', () => {
    const mapping = 'id: m, kind: tasmota, sensors: { tasmota_9CF9D1: p1 }';
    const sensor = {
      Time: '2026-05-01T03:00:00',
      AM2301: { Temperature: 64.4, Humidity: 45.1, DewPoint: 50 },
      'DS18B20-1': { Id: '011316', Temperature: 66.2 },
      ENERGY: { TotalStartTime: '2026-01-01T00:00:00', Total: 1.25, Power: 12, Voltage: 231 },
      Switch1: 'ON',
      TempUnit: 'F',
    };
    const { readings, dead } = became('tele/tasmota_9CF9D1/SENSOR', sensor, mapping);
    expect(dead).to.deep.equal([]);
    expect(readings.length).to.equal(1);
    expect(Object.keys(Object(readings[0]?.[2])).sort()).to.deep.equal([
      'am2301_dew_point',
      'am2301_humidity',
      'am2301_temperature',
      'ds18b20_1_temperature',
      'energy_power',
      'energy_total',
      'energy_voltage',
      'switch1',
    ]);
    expect(readings[0]).to.deep.include.members(['p1', 0]);
    const state = {
      Time: '2026-05-01T14:00:00',
      UptimeSec: 611,
      Heap: 24,
      POWER1: 'OFF',
      Vcc: 3.1,
      Wifi: { RSSI: 44, Signal: -78 },
    };
    expect(became('tele/pump/STATE', state, mapping)).to.deep.include(
      reading('pump', { power1: 0, vcc: 3.1, rssi: -78 }),
    );
    for (const topic of ['tele/pump/INFO1', 'tele/pump/RESULT', 'stat/pump/STATUS8', 'tasmota/discovery/9C/config']) {
      expect(became(topic, { a: 1 }, mapping), topic).to.deep.equal({ readings: [], dead: [], skipped: 1 });
    }
    const other = 'id: m, kind: tasmota, topic: "{sensor}/tele/SENSOR"';
    expect(became('pump/tele/SENSOR', sensor, other).readings.length).to.equal(1);
  });

  it('is what a Shelly measures, of the first generation and of the later ones', () => {
    const mapping = 'id: m, kind: shelly';
    for (const [topic, payload, values] of [
      ['sensor/temperature', '21.5', { temperature: 21.5 }],
      ['sensor/humidity', '45.0', { humidity: 45 }],
      ['sensor/battery', '88', { battery_level: 88 }],
      ['sensor/flood', 'true', { flood: 1 }],
      ['relay/0', 'on', { relay_0: 1 }],
      ['relay/0/power', '12.31', { relay_0_power: 12.31 }],
    ] as const) {
      expect(became(`shellies/shellyht-1/${topic}`, payload, mapping)).to.deep.include(reading('shellyht-1', values));
    }
    const params = {
      ts: at / 1000 + 0.04,
      'switch:0': {
        id: 0,
        apower: 8.9,
        aenergy: { by_minute: [1, 2], minute_ts: 1, total: 6.5 },
        output: true,
        temperature: { tC: 56.5, tF: 133.7 },
      },
      'temperature:0': { id: 0, tC: 21.4, tF: 70.5 },
      'temperature:100': { id: 100, tC: 5.5, tF: 41.9 },
      'humidity:0': { id: 0, rh: 45 },
      'devicepower:0': { id: 0, battery: { V: 5.9, percent: 90 }, external: { present: false } },
      sys: { uptime: 5 },
      wifi: { rssi: -60, sta_ip: '192.168.1.2' },
    };
    const notified = { src: 'shellyplus1pm-1', dst: 'shellyplus1pm-1/events', method: 'NotifyStatus', params };
    const expected = {
      switch_0_apower: 8.9,
      switch_0_aenergy_total: 6.5,
      switch_0_output: 1,
      switch_0_temperature: 56.5,
      temperature: 21.4,
      temperature_100: 5.5,
      humidity: 45,
      battery_level: 90,
      battery: 5.9,
      rssi: -60,
    };
    expect(became('shellyplus1pm-1/events/rpc', notified, mapping)).to.deep.include(
      reading('shellyplus1pm-1', expected, 59_960),
    );
    expect(became('shellyplus1pm-1/status/switch:0', { id: 0, output: false }, mapping)).to.deep.include(
      reading('shellyplus1pm-1', { switch_0_output: 0 }),
    );
    const nothing = { readings: [], dead: [], skipped: 1 };
    const event = { method: 'NotifyEvent', params: { ts: 1, events: [{ event: 'single_push' }] } };
    expect(became('shellyplus1pm-1/events/rpc', event, mapping)).to.deep.equal(nothing);
    for (const topic of ['shellyplus1pm-1/status/sys', 'shellies/shellyht-1/announce', 'shellies/announce']) {
      expect(became(topic, { uptime: 5, fw: 1 }, mapping), topic).to.deep.equal(nothing);
    }
  });

  it('is, of a ThingsBoard gateway, what each device behind it measures', () => {
    const telemetry = {
      'Device A': [
        { ts: at, values: { temperature: 42, humidity: 80 } },
        { ts: at + 1_000, values: { temperature: 43 } },
      ],
      p1: [{ ts: at, values: { temperature: 42 } }],
      土: [{ a: 1 }],
    };
    const { readings, dead } = became('v1/gateway/telemetry', telemetry);
    expect(readings).to.deep.equal([
      ['Device-A', -60_000, { temperature: 42, humidity: 80 }],
      ['Device-A', -59_000, { temperature: 43 }],
      ['p1', -60_000, { temperature: 42 }],
    ]);
    expect(dead).to.deep.equal(['no_sensor']);
    expect(became('v1/gateway/attributes', { 'Device A': { firmware: 'v1', level: 42 } })).to.deep.equal({
      ...reading('Device-A', { level: 42 }),
      skipped: 1,
    });
    const many = Object.fromEntries(Array.from({ length: 1_002 }, (_, i) => [`d${i}`, { a: i }]));
    const capped = became('v1/gateway/telemetry', many);
    expect([capped.readings.length, capped.dead]).to.deep.equal([1_000, ['too_many_readings']]);
  });

  it('is, behind a gateway, of the sensor whose EUI it names, however spelt; of those that nobody registered the farm has a quota', () => {
    const registry = parseRegistry(`farms: [{ id: north, name: N, timezone: UTC, quotas: { unregistered: 2 } }]
sensors:
  - { id: A8-40-41-FF-FF-12-34-56, farm: north }
  - { id: p1, farm: north }
  - { id: gate, farm: north, role: bridge }
  - { id: gate2, farm: north, role: bridge }
`);
    // As the decode thread has it.
    const copy = new ReadingRegistryCopy();
    copy.apply(readingChangesOf(registry));
    const validate = createValidate({ registry: { current: () => copy } });
    const of = (gate: string, ...devices: string[]) => {
      const payload = new TextEncoder().encode(
        JSON.stringify(Object.fromEntries(devices.map((one) => [one, { a: 1 }]))),
      );
      const topic = 'v1/gateway/telemetry';
      const via = { kind: 'bridge', id: gate } as const;
      const publish = { farm: 'north', field: 'f', sensor: gate, topic, payload, received: RECEIVED, via };
      const { readings, dead } = validate({ id: 'b', publishes: [publish] }, RECEIVED);
      return [readings.map(({ sensor }) => sensor), dead.map(({ reason }) => reason)];
    };
    const registered = ['A8-40-41-FF-FF-12-34-56', 'p1'];
    expect(of('gate', 'a84041ffff123456', 'p1', 'x')).to.deep.equal([[...registered, 'x'], []]);
    expect(of('gate2', 'y', 'z', 'a84041ffff123456')).to.deep.equal([['y', registered[0]], ['too_many_sensors']]);
    copy.apply(readingChangesIn([{ kind: 'sensor', id: 'north/x', before: undefined, after: { ...sensor('x') } }]));
    expect(of('gate2', 'x', 'z', 'w')).to.deep.equal([['x', 'z'], ['too_many_sensors']]);
    copy.apply(readingChangesIn([{ kind: 'sensor', id: 'north/p1', before: sensor('p1'), after: undefined }]));
    expect(of('gate', 'p1', 'z')).to.deep.equal([['z'], ['too_many_sensors']]);

    function sensor(id: string): Sensor {
      const found = parseRegistry(
        `farms: [{ id: north, name: N, timezone: UTC }]\nsensors: [{ id: ${id}, farm: north }]`,
      );
      const [one] = found.sensors;
      if (!one) throw new Error('no sensor');
      return one;
    }
  });
});
