import { expect } from 'chai';
import { BACKFILL_AGE_MS } from '../../telemetry/backfill.ts';
import { CLOCK_FLOOR, MAX_AHEAD_MS } from '../../telemetry/clock.ts';
import { MAX_REFUSALS, REASONS } from '../../telemetry/formats/decoded.ts';
import { decodePublish } from '../../telemetry/formats/formats.ts';
import { metricName } from '../../telemetry/formats/metric-name.ts';
import { MAX_READINGS } from '../../telemetry/formats/native.ts';
import { MAX_TS, METRIC_NAME, MIN_TS } from '../../telemetry/reading.ts';
import { plainRules } from '../../telemetry/sensor-rules.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { code, projectFile, tableRows } from './house-table.ts';

const received = 1_764_000_000_500;
const ts = 1_764_000_000_000;
const publish = { farm: 'north', field: 'f1', sensor: 's1', topic: telemetryTopic('north', 's1'), received };

const decodeBytes = (payload: Uint8Array) => decodePublish({ ...publish, payload }, plainRules());
const decodeText = (text: string) => decodeBytes(new TextEncoder().encode(text));
const decode = (value: unknown) => decodeText(JSON.stringify(value));
const reading = (values: Record<string, number>, at = ts) => ({
  farm: 'north',
  sensor: 's1',
  ts: at,
  received,
  values,
});
const reasons = (decoded: ReturnType<typeof decode>) => decoded.refused.map((r) => `${r.reason} ${r.path}`);

/** Says that exactly `readings` were taken and exactly `refusals` (reason and path) set aside. */
function expectDecoded(decoded: ReturnType<typeof decode>, readings: readonly unknown[], refusals: string[] = []) {
  expect(decoded.readings).to.deep.equal(readings);
  expect(reasons(decoded)).to.deep.equal(refusals);
}

describe('native payload: forms', () => {
  it('takes an object with ts and values', () => {
    expectDecoded(decode({ ts, values: { soil_moisture: 31.2, ec: -0.5 } }), [
      reading({ soil_moisture: 31.2, ec: -0.5 }),
    ]);
  });

  it('gives a reading without ts the time of receipt', () => {
    expectDecoded(decode({ values: { ec: 1 } }), [reading({ ec: 1 }, received)]);
  });

  it('takes values alone', () => {
    expectDecoded(decode({ soil_moisture: 31.2 }), [reading({ soil_moisture: 31.2 }, received)]);
  });

  it('reads ts beside bare values as their time', () => {
    expectDecoded(decode({ ts, soil_moisture: 31.2 }), [reading({ soil_moisture: 31.2 })]);
  });

  it('takes an array of either form, in its order', () => {
    expectDecoded(
      decode([
        { ts: ts + 1, values: { ec: 2 } },
        { ts, ec: 1 },
      ]),
      [reading({ ec: 2 }, ts + 1), reading({ ec: 1 })],
    );
  });

  it('takes a payload that opens with a byte order mark', () => {
    expectDecoded(decodeText('\uFEFF{"ec": 1}'), [reading({ ec: 1 }, received)]);
  });

  it('takes white space around the payload', () => {
    expectDecoded(decodeText(' \r\n{"ec": 1}\n'), [reading({ ec: 1 }, received)]);
  });

  it('takes ts inside values as a metric', () => {
    expectDecoded(decode({ ts, values: { ts: 5 } }), [reading({ ts: 5 })]);
  });

  it('takes a view into a larger buffer', () => {
    const bytes = new TextEncoder().encode('xx{"ec": 1}xx');
    expectDecoded(decodeBytes(bytes.subarray(2, -2)), [reading({ ec: 1 }, received)]);
  });
});

describe('native payload: time', () => {
  it('drops the fraction of a millisecond', () => {
    expectDecoded(decode({ ts: ts + 0.75, ec: 1 }), [reading({ ec: 1 })]);
  });

  it('takes the first and the last moment allowed', () => {
    expectDecoded(
      decode([
        { ts: CLOCK_FLOOR, ec: 1 },
        { ts: received + MAX_AHEAD_MS, ec: 1 },
      ]),
      [{ ...reading({ ec: 1 }, CLOCK_FLOOR), backfill: true }, reading({ ec: 1 }, received + MAX_AHEAD_MS)],
    );
  });

  for (const wrong of [MAX_TS, '20251124', 'noon', '2025-02-30', null, true, [ts], {}]) {
    it(`refuses a reading at ${JSON.stringify(wrong)} rather than give it another time`, () => {
      expectDecoded(decode({ ts: wrong, values: { ec: 1 } }), [], ['bad_time $.ts']);
      expectDecoded(decode({ ts: wrong, ec: 1 }), [], ['bad_time $.ts']);
    });
  }

  it('refuses a time too large for a number', () => {
    expectDecoded(decodeText('{"ts": 1e999, "ec": 1}'), [], ['bad_time $.ts']);
  });

  it('refuses a time more than five minutes after receipt', () => {
    expectDecoded(decode({ ts: received + MAX_AHEAD_MS + 1, ec: 1 }), [], ['future_time $']);
    const night = [
      { ts, ec: 1 },
      { ts: MAX_TS - 1, ec: 2 },
    ];
    expectDecoded(decode(night), [reading({ ec: 1 })], ['future_time $[1]']);
  });

  it('takes a number in a text for the number', () => {
    for (const told of [String(ts), String(ts / 1000), ` ${ts}.5 `]) {
      expectDecoded(decode({ ts: told, values: { ec: 1 } }), [reading({ ec: 1 })]);
    }
  });

  for (const key of ['timestamp', 'time', 'Timestamp', 'datetime']) {
    it(`reads ${key} beside values as their time`, () => {
      for (const told of [ts, ts / 1000, String(ts / 1000), new Date(ts).toISOString()]) {
        expectDecoded(decode({ [key]: told, ec: 1 }), [reading({ ec: 1 })]);
        expectDecoded(decode({ [key]: told, values: { ec: 1 } }), [reading({ ec: 1 })]);
        expectDecoded(decode({ values: { [key]: told, ec: 1 } }), [reading({ ec: 1 })]);
        expectDecoded(decode([{ [key]: told, ec: 1 }]), [reading({ ec: 1 })]);
      }
    });
  }

  it('counts another time beside ts, and takes what is called so and is no time for a value', () => {
    const both = decode({ ts, time: new Date(ts - 1000).toISOString(), ec: 1 });
    expectDecoded(both, [reading({ ec: 1 })]);
    expect(both.skipped).to.equal(1);
    expectDecoded(decode({ timestamp: 35, ec: 1 }), [reading({ timestamp: 35, ec: 1 }, received)]);
    expectDecoded(decode({ time: 35, ec: 1 }), [reading({ ec: 1 }, received)], ['reserved_name $.time']);
  });

  it('takes seconds for what they are', () => {
    expectDecoded(decode({ ts: ts / 1000, ec: 1 }), [reading({ ec: 1 })]);
    expectDecoded(decode({ ts: ts / 1000 + 0.25, ec: 1 }), [reading({ ec: 1 }, ts + 250)]);
  });

  it('marks what was late when it came', () => {
    const late = received - BACKFILL_AGE_MS - 1;
    expectDecoded(decode({ ts: late, ec: 1 }), [{ ...reading({ ec: 1 }, late), backfill: true }]);
    expectDecoded(decode({ ts: late + 1, ec: 1 }), [reading({ ec: 1 }, late + 1)]);
  });

  it('requires ts in an array, even of one', () => {
    expectDecoded(decode([{ values: { ec: 1 } }]), [], ['time_required $[0]']);
  });
});

describe('native payload: values', () => {
  it('takes booleans as 0 and 1', () => {
    expectDecoded(decode({ open: true, wet: false }), [reading({ open: 1, wet: 0 }, received)]);
  });

  it('takes the largest and smallest numbers', () => {
    const values = { a: Number.MAX_VALUE, b: -Number.MAX_VALUE, c: Number.MIN_VALUE, d: 0 };
    expectDecoded(decode({ ts, values }), [reading(values)]);
  });

  for (const bad of ['31,2', '1 of 2', 'OPEN', null, [1], { value: 1 }]) {
    it(`sets aside only the value that is ${JSON.stringify(bad)}`, () => {
      expectDecoded(decode({ ts, values: { bad, ec: 1 } }), [reading({ ec: 1 })], ['not_a_number $.values.bad']);
      expectDecoded(decode({ bad, ec: 1 }), [reading({ ec: 1 }, received)], ['not_a_number $.bad']);
    });
  }

  it('takes a number in a text, in its unit', () => {
    const values = { a: '31.2', b: '−3', air_temperature: '77 °F', pm25: '12.5 µg/m³', air_pressure: '29.92 inHg' };
    expectDecoded(decode({ ts, values }), [
      reading({ a: 31.2, b: -3, air_temperature: 25, pm25: 12.5, air_pressure: 1013.20748119 }),
    ]);
  });

  for (const bare of ['nan', 'NaN', '-nan', 'nan(ind)', '-Infinity', 'inf', 'ovf', '1.#QNAN']) {
    it(`loses ${bare} and nothing else`, () => {
      expectDecoded(
        decodeText(`{"ec": 1, "bad": ${bare}, "t": "nan"}`),
        [reading({ ec: 1 }, received)],
        ['not_a_number $.bad', 'not_a_number $.t'],
      );
    });
  }

  it('is not disturbed by the NULs at the end of a C string', () => {
    expectDecoded(decodeText('{"ec": 1}\0\0'), [reading({ ec: 1 }, received)]);
    for (const cut of ['{"ec": 1}\0{"ec"', '{"ec": n\0an}', '{"ec": "nan', 'nan,', '{"ec": anan}']) {
      expect(
        decodeText(cut).refused.map(({ reason }) => reason),
        cut,
      ).to.deep.equal(['not_json']);
    }
  });

  it('refuses a number too large for a number', () => {
    expectDecoded(
      decodeText('{"a": 1e999, "b": -1e999, "ec": 1}'),
      [reading({ ec: 1 }, received)],
      ['not_finite $.a', 'not_finite $.b'],
    );
  });

  it('makes no reading when no value is good', () => {
    expectDecoded(decode({ ts, values: { a: 'x' } }), [], ['not_a_number $.values.a']);
  });

  it('refuses a reading without values', () => {
    expectDecoded(decode({}), [], ['no_values $']);
    expectDecoded(decode({ ts }), [], ['no_values $']);
    expectDecoded(decode({ ts, values: {} }), [], ['no_values $.values']);
    expectDecoded(decode([]), [], ['no_values $']);
    expectDecoded(decode([{ ts }, { ts, ec: 1 }]), [reading({ ec: 1 })], ['no_values $[0]']);
  });

  it('refuses values that are no object', () => {
    for (const values of [3, 'x', null, [1], true]) {
      expectDecoded(decode({ ts, values }), [], ['not_an_object $.values']);
    }
  });

  it('takes a reading but sets aside what stands beside ts and values', () => {
    const decoded = decode({ ts, values: { ec: 1 }, rssi: -70, 'the unit': '%' });
    expectDecoded(decoded, [reading({ ec: 1 })], ['unknown_key $.rssi', 'unknown_key $["the unit"]']);
  });
});

describe('native payload: metric names', () => {
  const folded: Record<string, string> = {
    soil_moisture: 'soil_moisture',
    a__b_: 'a__b_',
    soilMoisture: 'soil_moisture',
    SoilMoisture: 'soil_moisture',
    'soil-moisture': 'soil_moisture',
    'Soil Moisture (%)': 'soil_moisture',
    'Temp. (°C)': 'temp_c',
    Température: 'temperature',
    CO2Level: 'co2_level',
    ECValue: 'ec_value',
    temp1Avg: 'temp1_avg',
    pH: 'ph',
    soilPH: 'soil_ph',
    kPa: 'kpa',
    EC: 'ec',
    N2O: 'n2o',
    _x: 'x',
  };
  for (const [given, name] of Object.entries(folded)) {
    it(`folds ${given} to ${name}`, () => expect(metricName(given)).to.equal(name));
  }

  it('folds every name to one that is folded already', () => {
    for (const given of Object.keys(folded)) {
      const name = metricName(given) ?? '';
      expect(name).to.match(METRIC_NAME);
      expect(metricName(name)).to.equal(name);
    }
  });

  it('takes names of 64 characters and refuses longer ones', () => {
    const just = 'a'.repeat(64);
    expectDecoded(decode({ [just]: 1 }), [reading({ [just]: 1 }, received)]);
    expect(decode({ [`${just}a`]: 1 }).refused[0]?.reason).to.equal('bad_name');
  });

  it('refuses names that leave nothing of a metric', () => {
    for (const name of ['', '_', '%', '1st', '温度', ' ', '\ud800']) {
      expect(decode({ [name]: 1 }).refused[0]?.reason, name).to.equal('bad_name');
    }
  });

  it('refuses reserved names, folded or not', () => {
    expectDecoded(
      decode({ time: 1, Sensor: 1, FARM: 1, field: 1, received: 1, ec: 1 }),
      [reading({ ec: 1 }, received)],
      [
        'reserved_name $.time',
        'reserved_name $.Sensor',
        'reserved_name $.FARM',
        'reserved_name $.field',
        'reserved_name $.received',
      ],
    );
  });

  it('takes the first of two names that fold to one and sets the second aside', () => {
    const decoded = decode({ soilMoisture: 1, soil_moisture: 2 });
    expectDecoded(decoded, [reading({ soil_moisture: 1 }, received)], ['double_name $.soil_moisture']);
  });
});

describe('native payload: arrays', () => {
  it('takes the good readings and sets the bad ones aside, each with its place', () => {
    const decoded = decode([
      { ts, ec: 1 },
      7,
      { ec: 1 },
      { ts: MAX_TS, ec: 1 },
      { ts: ts + 1, a: 'x', ec: 2 },
      null,
      [{ ts, ec: 3 }],
    ]);
    expectDecoded(
      decoded,
      [reading({ ec: 1 }), reading({ ec: 2 }, ts + 1)],
      [
        'not_an_object $[1]',
        'time_required $[2]',
        'bad_time $[3].ts',
        'not_a_number $[4].a',
        'not_an_object $[5]',
        'not_an_object $[6]',
      ],
    );
  });

  it('takes the first of two values of one metric and time, and names the other, which would overwrite it', () => {
    const again = decode([
      { ts, ec: 1, m: 5 },
      { ts: ts + 1, ec: 2 },
      { ts, ec: 3, n: 1 },
      { ts, ec: 1 },
      { ts: new Date(ts).toISOString(), m: 6 },
    ]);
    expectDecoded(
      again,
      [reading({ ec: 1, m: 5 }), reading({ ec: 2 }, ts + 1), reading({ n: 1 }), reading({ ec: 1 })],
      ['double_time $[2].ec', 'double_time $[4].m'],
    );
  });

  it(`takes ${MAX_READINGS} readings`, () => {
    const decoded = decode(Array.from({ length: MAX_READINGS }, (_, i) => ({ ts: ts + i, n: i })));
    expect(decoded.readings).to.have.length(MAX_READINGS);
    expect(decoded.refused).to.deep.equal([]);
  });

  it('takes the first readings of a longer array and says how many it did not', () => {
    const decoded = decode(Array.from({ length: MAX_READINGS + 7 }, (_, i) => ({ ts: ts + i, n: i })));
    expect(decoded.readings).to.have.length(MAX_READINGS);
    expect(reasons(decoded)).to.deep.equal([`too_many_readings $[${MAX_READINGS}]`]);
    expect(decoded.refused[0]?.explanation).to.match(/^7 /);
  });
});

describe('native payload: hostile bytes', () => {
  const deep = 200_000;
  const bounded = (decoded: ReturnType<typeof decode>) => {
    expect(decoded.refused.length).to.be.at.most(MAX_REFUSALS + 1);
    for (const refusal of decoded.refused) {
      expect(refusal.explanation.length).to.be.below(400);
      expect(refusal.path.length).to.be.below(400);
    }
  };

  it('refuses bytes that are not UTF-8', () => {
    expectDecoded(decodeBytes(Uint8Array.of(0xff, 0xfe, 0x7b)), [], ['not_utf8 $']);
    expectDecoded(decodeBytes(Uint8Array.from([...new TextEncoder().encode('{"a":"'), 0xc3])), [], ['not_utf8 $']);
  });

  it('refuses text that is not JSON, the empty one too', () => {
    for (const text of ['', ' ', '{', '{"a":1,}', 'soil=3', '[1', "{'a':1}", '\0']) {
      expectDecoded(decodeText(text), [], ['not_json $']);
    }
  });

  it('refuses JSON that is no object', () => {
    for (const value of [0, 31.2, '31.2', true, null]) expectDecoded(decode(value), [], ['not_an_object $']);
  });

  it('gives __proto__, constructor and the like no power', () => {
    const decoded = decodeText('{"__proto__": {"ts": 5}, "constructor": 2, "toString": 3, "hasOwnProperty": 4}');
    expectDecoded(
      decoded,
      [reading({ constructor: 2, to_string: 3, has_own_property: 4 }, received)],
      ['not_a_number $.__proto__'],
    );
    expect(Object.getPrototypeOf(decoded.readings[0]?.values)).to.equal(Object.prototype);
    expectDecoded(decodeText('{"__proto__": {"values": {"a": 1}}}'), [], ['not_a_number $.__proto__']);
    expect(Object.hasOwn(Object.prototype, 'values')).to.equal(false);
  });

  it('survives deep nesting', () => {
    expectDecoded(decodeText('['.repeat(deep) + ']'.repeat(deep)), [], ['not_an_object $[0]']);
    expectDecoded(decodeText(`${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}`), [], ['not_a_number $.a']);
    expectDecoded(decodeText('['.repeat(deep)), [], ['not_json $']);
  });

  it('takes 64 values of a reading and refuses the rest as one', () => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}`, i]));
    expectDecoded(decode(many(64)), [reading(many(64), received)]);
    expectDecoded(decode(many(65)), [reading(many(64), received)], ['too_many_metrics $']);
    expectDecoded(decode({ ts, values: many(100_000) }), [reading(many(64))], ['too_many_metrics $.values']);
  });

  it('keeps the first hundred refusals and counts the rest', () => {
    const bad = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`m${i}`, 'x']));
    const decoded = decode({ ...bad, ec: 1 });
    expect(decoded.readings).to.deep.equal([reading({ ec: 1 }, received)]);
    expect(decoded.refused).to.have.length(MAX_REFUSALS + 1);
    expect(decoded.refused.at(-1)).to.deep.equal({ reason: 'more_refused', path: '$', explanation: 'and 99900 more' });
  });

  it('keeps what it says of huge keys and texts short, and well-formed', () => {
    const key = '🌱'.repeat(100_000);
    const decoded = decode({ [`x${key}`]: 1, a: `x${key}`, [key]: 2, ['b'.repeat(1_000_000)]: 1 });
    bounded(decoded);
    expect(decoded.refused).to.have.length(4);
    const text = JSON.stringify(decoded.refused);
    expect(new TextDecoder().decode(new TextEncoder().encode(text))).to.equal(text);
  });

  it('keeps what it says of text that is not JSON well-formed, wherever that is cut', () => {
    const seeds = '🌱'.repeat(50);
    const texts = Array.from({ length: 20 }, (_, at) => `{"${seeds}${'a'.repeat(at)}":x${'a'.repeat(at)}${seeds}}`);
    for (const text of [...texts, `[${seeds}]`]) {
      const [refusal] = decodeText(text).refused;
      expect(refusal?.reason).to.equal('not_json');
      expect(refusal?.explanation).not.to.match(/\p{Cs}/u);
    }
  });

  it('answers any bytes with readings, refusals or both', () => {
    // A fixed generator, so that a failure comes again.
    let state = 42;
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state % below;
    };
    const valid = new TextEncoder().encode(
      JSON.stringify([{ ts, values: { soil_moisture: 31.2, open: true } }, { ts }]),
    );
    for (let round = 0; round < 5_000; round++) {
      const bytes = Uint8Array.from(valid);
      for (let hit = random(4); hit >= 0; hit--)
        bytes[random(bytes.length)] = round % 2 ? random(256) : 32 + random(96);
      const decoded = decodeBytes(bytes.subarray(0, random(8) ? bytes.length : random(bytes.length)));
      bounded(decoded);
      expect(decoded.readings.length + decoded.refused.length).to.be.above(0);
      for (const { ts: at, values } of decoded.readings) {
        expect(at >= MIN_TS && at < MAX_TS).to.equal(true);
        expect(Object.keys(values)).to.not.have.length(0);
        for (const [name, value] of Object.entries(values)) {
          expect(name).to.match(METRIC_NAME);
          expect(Number.isFinite(value)).to.equal(true);
        }
      }
    }
  });
});

describe('docs/protocol-mqtt.md', () => {
  it('lists every reason for a refusal and no other', async () => {
    const listed = tableRows(await projectFile('docs/protocol-mqtt.md'), 'reason').map(([reason]) => code(reason));
    expect(listed).to.deep.equal([...REASONS]);
  });
});
