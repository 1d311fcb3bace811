import { expect } from 'chai';
import { chirpstackUplink, decode, RECEIVED, rules, ttnUplink } from './telemetry-payloads.ts';

/** What makers' decoders give for an uplink of a soil sensor, by their published payload descriptions, and what Loam makes of it. */
const MAKERS: readonly {
  name: string;
  decoded: object;
  sensor?: string;
  values: Record<string, number>;
  skipped?: number;
}[] = [
  {
    name: 'Dragino LSE01',
    decoded: {
      BatV: 3.316,
      TempC_DS18B20: '0.00',
      water_SOIL: '31.46',
      temp_SOIL: '18.40',
      conduct_SOIL: 87,
      Sensor_flag: 1,
      Interrupt_flag: 0,
    },
    values: {
      battery: 3.316,
      temp_c_ds18b20: 0,
      soil_moisture: 31.46,
      soil_temperature: 18.4,
      ec: 0.087,
      sensor_flag: 1,
      interrupt_flag: 0,
    },
  },
  {
    name: 'Milesight EM500-SMTC',
    decoded: { battery: 92, temperature: 24.5, moisture: 34.5, ec: 240 },
    sensor: 'aliases: { battery: battery_level, temperature: soil_temperature }, units: { ec: µS/cm }',
    values: { battery_level: 92, soil_temperature: 24.5, soil_moisture: 34.5, ec: 0.24 },
  },
  {
    name: 'Decentlab DL-TRS12',
    decoded: {
      protocol_version: 2,
      device_id: 10_123,
      dielectric_permittivity: { displayName: 'Dielectric permittivity', value: 12.4 },
      volumetric_water_content: { displayName: 'Volumetric water content', value: 0.2352, unit: 'm³⋅m⁻³' },
      soil_temperature: { displayName: 'Soil temperature', value: 17.2, unit: '°C' },
      electrical_conductivity: { displayName: 'Electrical conductivity', value: 84, unit: 'µS⋅cm⁻¹' },
      battery_voltage: { displayName: 'Battery voltage', value: 3.029, unit: 'V' },
    },
    values: {
      protocol_version: 2,
      device_id: 10_123,
      permittivity: 12.4,
      soil_moisture: 23.52,
      soil_temperature: 17.2,
      ec: 0.084,
      battery: 3.029,
    },
  },
  {
    name: 'SenseCAP S2105',
    decoded: {
      err: 0,
      valid: true,
      payload: '0106101C2700000107108E1B0000',
      messages: [
        { type: 'report_telemetry', measurementId: 4102, measurementValue: 10.01 },
        { type: 'report_telemetry', measurementId: '4103', measurementValue: 27.3 },
        { type: 'report_telemetry', measurementId: 4108, measurementValue: 0.41 },
      ],
    },
    values: { err: 0, valid: 1, soil_temperature: 10.01, soil_moisture: 27.3, ec: 0.41 },
    skipped: 1,
  },
];

const AT = Date.parse('2026-05-01T11:59:57.900Z');

for (const { name, decoded, sensor, values, skipped = 0 } of MAKERS) {
  describe(`an uplink of a ${name}`, () => {
    const expected = [
      { farm: 'north', sensor: 's1', ts: AT, received: RECEIVED, values: { rssi: -97, snr: 6.25, ...values } },
    ];

    it('becomes a reading when The Things Stack tells it', () => {
      const uplink = ttnUplink({ frm_payload: 'AAAA', decoded_payload: decoded });
      expect(decode('ttn', uplink, rules(sensor))).to.deep.equal({ readings: expected, refused: [], skipped });
    });

    it('becomes the same reading when ChirpStack tells it', () => {
      const uplink = chirpstackUplink({ data: 'AAAA', object: decoded });
      expect(decode('chirpstack', uplink, rules(sensor))).to.deep.equal({ readings: expected, refused: [], skipped });
    });
  });
}

describe('uplinks', () => {
  it('that nobody decoded give their bytes for a codec', () => {
    const { readings, refused, bytes } = decode('ttn', ttnUplink({ f_port: 5, frm_payload: 'AQL/' }));
    expect([readings, refused]).to.deep.equal([[], []]);
    expect(bytes).to.deep.equal({ bytes: Buffer.from([1, 2, 255]), fPort: 5, at: AT, radio: { rssi: -97, snr: 6.25 } });
    const other = decode('chirpstack', chirpstackUplink({ fPort: 5, data: 'AQL/', object: null }));
    expect(other.bytes).to.deep.equal(bytes);
  });

  it('of more bytes than LoRaWAN carries reach no codec, unless the network server decoded them', () => {
    const base64 = (length: number) => Buffer.alloc(length, 7).toString('base64');
    const texts = [base64(256), base64(48_000), `${base64(255)}${'\n'.repeat(1_000)}`, '='.repeat(2_000)];
    for (const [form, uplink] of [
      ['ttn', (data: string, decoded?: object) => ttnUplink({ frm_payload: data, decoded_payload: decoded })],
      ['chirpstack', (data: string, decoded?: object) => chirpstackUplink({ data, object: decoded })],
    ] as const) {
      for (const text of texts) {
        const { readings, refused, bytes } = decode(form, uplink(text));
        expect([readings, bytes]).to.deep.equal([[], undefined]);
        expect(refused.map(({ reason }) => reason)).to.deep.equal(['uplink_too_long']);
        expect(decode(form, uplink(text, { ec: 1 })).readings.map(({ values }) => values.ec)).to.deep.equal([1]);
      }
      expect(decode(form, uplink(base64(255))).bytes?.bytes).to.deep.equal(Buffer.alloc(255, 7));
    }
  });

  it('without data tell how they were received', () => {
    const { readings } = decode('ttn', ttnUplink({ last_battery_percentage: { f_cnt: 1, value: 87.5 } }));
    expect(readings.map(({ values }) => values)).to.deep.equal([{ rssi: -97, snr: 6.25, battery_level: 87.5 }]);
  });

  it('of nothing but texts or settings tell how they were received, and are counted; what is no uplink is refused', () => {
    for (const [decoded, skipped] of [
      [{ mode: 'IIC', nothing: null }, 2],
      [{ settings: {} }, 1],
    ] as const) {
      const uplinks = [
        decode('chirpstack', chirpstackUplink({ data: 'AAAA', object: decoded })),
        decode('ttn', ttnUplink({ frm_payload: 'AAAA', decoded_payload: decoded })),
      ];
      for (const { readings, refused, skipped: counted } of uplinks) {
        expect(readings.map(({ values }) => values)).to.deep.equal([{ rssi: -97, snr: 6.25 }]);
        expect([refused, counted]).to.deep.equal([[], skipped]);
      }
    }
    const unheard = decode('chirpstack', chirpstackUplink({ object: { mode: 'IIC' }, rxInfo: [] }));
    expect(unheard).to.deep.equal({ readings: [], refused: [], skipped: 1 });
    for (const form of ['ttn', 'chirpstack'] as const) {
      for (const payload of [{}, [], 7, null, 'x', { uplink_message: 1 }]) {
        expect(decode(form, payload).refused.map(({ reason }) => reason)).to.deep.equal(['not_an_uplink']);
      }
    }
  });

  it('in which the bytes were copied to `bytes`, as The Things Stack does, are read by the codec, and use up no names', () => {
    const by = rules();
    for (let i = 0; i < 3; i++) {
      const bytes = Array.from({ length: 40 }, (_, at) => (at * 7 + i) % 256);
      const found = decode(
        'ttn',
        ttnUplink({ frm_payload: Buffer.from(bytes).toString('base64'), decoded_payload: { bytes } }),
        by,
      );
      expect([found.readings, found.refused]).to.deep.equal([[], []]);
      expect(found.bytes?.bytes).to.deep.equal(Buffer.from(bytes));
    }
    const beside = { bytes: [31, 27], temperature: 18.4 };
    const taken = decode('ttn', ttnUplink({ frm_payload: 'Hxs=', decoded_payload: beside, rx_metadata: [] }), by);
    expect(taken.readings.map(({ values }) => values)).to.deep.equal([{ temperature: 18.4 }]);
    const other = decode('ttn', ttnUplink({ frm_payload: 'Hxs=', decoded_payload: { bytes: [900, 1] } }), by);
    expect(other.readings[0]?.values, 'no bytes').to.include({ bytes_0: 900, bytes_1: 1 });
  });

  it('have texts of state as numbers where the registry says so', () => {
    const metrics = '{ id: leak, label: Leak, aliases: [water_leak], texts: { Leak: 1, normal: 0 } }';
    const valued = (form: 'chirpstack' | 'thingsboard' | 'native', payload: object) =>
      decode(form, payload, rules('', metrics)).readings.map(({ values }) => values);
    const object = { water_leak_state: 'leak', water_leak: ' NORMAL', other: 'leak' };
    expect(valued('chirpstack', chirpstackUplink({ object, rxInfo: [] }))).to.deep.equal([{ leak: 0 }]);
    expect(valued('thingsboard', { leak: 'leak' })).to.deep.equal([{ leak: 1 }]);
    expect(valued('native', { leak: 'normal' })).to.deep.equal([{ leak: 0 }]);
    expect(decode('native', { leak: 'dry' }, rules('', metrics)).refused[0]?.reason).to.equal('not_a_number');
  });

  it('flatten what is nested, and read quantities in texts', () => {
    const object = {
      soil: { probe1: { moisture: '30.11 %' }, 'probe 2': [{ t: '64.4 °F' }] },
      level: '-2.5e1',
      note: '12 o’clock',
    };
    const { readings, skipped } = decode('chirpstack', chirpstackUplink({ object, rxInfo: [] }));
    expect(readings[0]?.values).to.deep.equal({
      soil_probe1_moisture: 30.11,
      soil_probe_2_0_t: 18,
      level: -25,
    });
    expect(skipped).to.equal(1);
    const known = decode('thingsboard', { soil_temperature: '64.4 °F', air_temp: '30.11 °C' });
    expect(known.readings[0]?.values).to.deep.equal({ soil_temperature: 18, air_temperature: 30.11 });
  });

  it('bring what the device kept while it had no network, each reading at its own time', () => {
    const seconds = (ago: number) => AT / 1000 - ago;
    const object = {
      battery_level: 90,
      history: [
        { timestamp: Math.floor(seconds(7200)), temperature: 18.5, mode: 'up' },
        { time: new Date(AT - 3_600_000).toISOString(), temperature: 19 },
        { temperature: 20 },
        7,
        { ts: AT - 1_000, temperature: null },
      ],
    };
    const { readings, refused, skipped } = decode('chirpstack', chirpstackUplink({ object, rxInfo: [] }));
    expect(readings.map(({ ts, values }) => [ts, values])).to.deep.equal([
      [Math.floor(seconds(7200)) * 1000, { temperature: 18.5 }],
      [AT - 3_600_000, { temperature: 19 }],
      [AT, { battery_level: 90 }],
    ]);
    expect(refused.map(({ reason, path }) => `${reason} ${path}`)).to.deep.equal([
      'time_required $.object.history[2]',
      'not_an_object $.object.history[3]',
      'no_values $.object.history[4]',
    ]);
    expect(skipped).to.equal(2);
    // Numbers under that name are no readings of another time.
    const numbers = decode('ttn', ttnUplink({ decoded_payload: { history: [1, 2] }, rx_metadata: [] }));
    expect(numbers.readings[0]?.values).to.deep.equal({ history_0: 1, history_1: 2 });
    // The uplink's history alone is enough, and a device without a clock has its intervals kept.
    const alone = {
      object: {
        history: [
          { timestamp: 1_100_000_060, a: 1 },
          { timestamp: 1_100_000_120, a: 2 },
        ],
      },
    };
    const unclocked = decode('chirpstack', chirpstackUplink(alone), rules('clock: receipt'));
    expect(unclocked.readings.map(({ ts }) => ts - RECEIVED)).to.deep.equal([-60_000, 0]);
    const many = { object: { history: Array.from({ length: 1_001 }, (_, i) => ({ ts: AT - i, a: i })) } };
    const capped = decode('chirpstack', chirpstackUplink(many));
    expect([capped.readings.length, capped.refused.map(({ reason }) => reason)]).to.deep.equal([
      1_000,
      ['too_many_readings'],
    ]);
  });

  it('are dated by the network, and refuse a date that is none', () => {
    expect(decode('chirpstack', chirpstackUplink({ time: 'soon', object: { a: 1 } })).refused[0]?.reason).to.equal(
      'bad_time',
    );
    expect(decode('chirpstack', chirpstackUplink({ time: null, object: { a: 1 } })).readings[0]?.ts).to.equal(RECEIVED);
  });
});

describe('ChirpStack', () => {
  const heard = { gatewayID: 'AwMDAwMDAwM=', time: '2026-05-01T11:59:57.900445Z', rssi: -48, loRaSNR: 9 };
  const version3 = {
    applicationID: '1',
    applicationName: 'garden',
    deviceName: 'bed',
    devEUI: 'AgICAgICAgI=',
    rxInfo: [{ ...heard, time: null, rssi: -90, loRaSNR: 1 }, heard],
    txInfo: { frequency: 868_100_000 },
    adr: true,
    dr: 1,
    fCnt: 10,
    fPort: 5,
    data: 'AgI7AAMANwJxDGA=',
    tags: {},
  };
  const taken = ({ readings }: ReturnType<typeof decode>) => readings.map(({ ts, values }) => [ts, values]);

  it('of version 3 is read whole, with its decoded values as a text or as an object', () => {
    const expected = [[AT, { rssi: -48, snr: 9, temperature: 25, humidity: 32 }]];
    const told = { temperature: 25, humidity: 32 };
    expect(taken(decode('chirpstack', { ...version3, objectJSON: JSON.stringify(told) }))).to.deep.equal(expected);
    expect(taken(decode('chirpstack', { ...version3, object: told }))).to.deep.equal(expected);
    const bytes = decode('chirpstack', { ...version3, objectJSON: '' }).bytes;
    expect(bytes).to.deep.include({ fPort: 5, at: AT, radio: { rssi: -48, snr: 9 } });
    expect(bytes?.bytes.length).to.equal(11);
    const { refused } = decode('chirpstack', { ...version3, objectJSON: '{"temperature":' });
    expect(refused.map(({ reason, path }) => `${reason} ${path}`)).to.deep.equal(['not_json $.objectJSON']);
  });

  it('tells of a device’s status its battery and margin', () => {
    const status = (told: object) => decode('status', { deviceInfo: {}, time: '2026-05-01T11:59:57.900Z', ...told });
    expect(taken(status({ margin: 10, batteryLevel: 75.5 }))).to.deep.equal([
      [AT, { margin: 10, battery_level: 75.5 }],
    ]);
    expect(taken(decode('status', { devEUI: 'AgICAgICAgI=', margin: -6, battery: 127 }))).to.deep.equal([
      [RECEIVED, { margin: -6, battery_level: 50 }],
    ]);
    for (const none of [
      { externalPowerSource: true, batteryLevel: 0 },
      { batteryLevelUnavailable: true, batteryLevel: 0 },
      { battery: 0 },
      { battery: 255 },
      {},
    ]) {
      expect(status(none)).to.deep.equal({ readings: [], refused: [], skipped: 1 });
    }
    expect(decode('status', []).refused[0]?.reason).to.equal('not_an_uplink');
  });
});

describe('ThingsBoard’s device API', () => {
  const values = (payload: unknown) =>
    decode('thingsboard', payload).readings.map(({ ts, values }) => [ts - RECEIVED, values]);

  it('takes values, with a time, and arrays of either', () => {
    expect(values({ moisture: 31, on: true, name: 'x' })).to.deep.equal([[0, { soil_moisture: 31, on: 1 }]]);
    expect(values({ ts: RECEIVED - 1000, values: { a: 1, b: '2.5' } })).to.deep.equal([[-1000, { a: 1, b: 2.5 }]]);
    expect(values([{ a: 1 }, { b: 2 }])).to.deep.equal([[0, { a: 1, b: 2 }]]);
    expect(
      values([
        { ts: RECEIVED - 2000, values: { a: 1 } },
        { ts: RECEIVED - 1000, values: { a: 2 } },
      ]),
    ).to.deep.equal([
      [-2000, { a: 1 }],
      [-1000, { a: 2 }],
    ]);
  });

  it('sets aside what is wrong and takes the rest', () => {
    const { readings, refused } = decode('thingsboard', [
      { a: 1 },
      7,
      { a: 2 },
      { ts: 'noon', values: { a: 3 } },
      { text: 'x' },
    ]);
    expect(readings.map((r) => r.values)).to.deep.equal([{ a: 1 }]);
    expect(refused.map(({ reason, path }) => `${reason} ${path}`)).to.deep.equal([
      'not_an_object $[1]',
      'double_name $[2].a',
      'bad_time $[3].ts',
    ]);
    expect(decode('thingsboard', {}).refused[0]?.reason).to.equal('no_values');
    expect(decode('thingsboard', { firmware: 'v2' })).to.deep.equal({ readings: [], refused: [], skipped: 1 });
  });
});
