import type { PublishForm } from '../../telemetry/topic.ts';
import type { Draw } from './draw.ts';
import { date, number, phrase, stretched, text } from './texts.ts';

/** Payloads of every form, as JSON text of up to about `room` characters: right in the main, with much that is wrong in them. */
export const FORMS = {
  native: (draw: Draw, room: number) => draw.one([values, timed, listed, senml])(draw, room),
  thingsboard: (draw: Draw, room: number) => draw.one([values, timed, listed])(draw, room),
  ttn,
  gateway: (draw: Draw, room: number) =>
    `{${draw.one(['"Device A"', '""', '"__proto__"'])}:${draw.one([values, timed, listed])(draw, room)}}`,
  chirpstack_status: (draw: Draw, room: number) => values(draw, room),
  chirpstack: (draw: Draw, room: number) => (draw.chance(0.2) ? chirpstack3 : chirpstack)(draw, room),
} as const satisfies Readonly<Record<PublishForm, (draw: Draw, room: number) => string>>;

const NAMES = ['soil_moisture', 'SoilTemp', 'ec', 'battery', 'Temp. (°C)', 'rssi', 'measurementId', 'history', 'ts'];
const HOSTILE_KEYS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'value', 'values', 'unit', 'time', ''];
const ODD_NUMBERS = [
  '0',
  '-0',
  '1e999',
  '-1e999',
  '5e-324',
  '1.7976931348623157e308',
  '9007199254740993',
  '1E+2',
  'nan',
  '-Infinity',
];

/** Repeats of what others may repeat, and of what a reader may count or nest. */
const RUNS = ['1', '0', ' ', '[', ']', '{"a":', '}', '"', '\\', ',', '[1],', '\\ud800', 'µ', '\u00a0', '.1', '-', '/'];

/** `given` with up to three changes that make it longer or break it. */
export function mutated(draw: Draw, given: string, room: number): string {
  let made = given;
  for (let times = draw.chance(0.4) ? draw.whole(1, 3) : 0; times > 0; times--) {
    const at = draw.whole(0, made.length);
    const run = draw.one(RUNS);
    const left = Math.max(0, room - made.length);
    made = draw.one([
      () => stretched(draw, made, left),
      () => made.slice(0, at) + run.repeat(draw.size(left / run.length)) + made.slice(at),
      () => made.slice(0, at) + made.slice(at + draw.size(20)),
      () => made.slice(0, at) + draw.one(['"', '}', ']', ',', '\u0000', '\ufeff', '1e999', 'null']) + made.slice(at),
      // A number of thousands of digits where one was.
      () => made.replace(/\d+/, (digits) => digits.repeat(draw.size(left / digits.length))),
    ])();
  }
  return made;
}

function values(draw: Draw, room: number): string {
  const most = draw.size(room / 12);
  const entries: string[] = [];
  // One value again and again under other names, or another each time.
  const same = draw.chance(0.3) ? leaf(draw, draw.size(room / 4)) : undefined;
  for (let length = 2; entries.length < most && length < room; ) {
    const name = same === undefined ? key(draw, room / 4) : JSON.stringify(`m${entries.length}`);
    const entry = `${name}:${same ?? leaf(draw, (room - length) / 2)}`;
    entries.push(entry);
    length += entry.length + 1;
  }
  return `{${entries.join(',')}}`;
}

function key(draw: Draw, room: number): string {
  if (draw.chance(0.5)) return JSON.stringify(draw.one(NAMES));
  if (draw.chance(0.2)) return JSON.stringify(draw.one(HOSTILE_KEYS));
  return JSON.stringify(draw.chance(0.2) ? text(draw, room) : phrase(draw));
}

function leaf(draw: Draw, room: number): string {
  return draw.one<() => string>([
    () => String(draw.whole(0, 500) / 10),
    () => String(draw.whole(0, 500) / 10),
    () => String(draw.whole(-50, 1_500) / 10),
    () => draw.one(ODD_NUMBERS),
    () => draw.one(['true', 'false', 'null']),
    () => JSON.stringify(text(draw, room)),
    () => `{"value":${draw.one([number(draw), JSON.stringify(text(draw, room / 2))])},"unit":${unit(draw, room / 2)}}`,
    () => `{"measurementId":${unit(draw, room / 2)},"measurementValue":${draw.whole(0, 99)}}`,
    () => nested(draw, room),
    () => digits(draw, room),
  ])();
}

function unit(draw: Draw, room: number): string {
  return JSON.stringify(draw.chance(0.3) ? text(draw, room) : draw.one(['°C', '%', 'µg/m³', 'none', '4102', 'V']));
}

/** Something inside many objects or lists. */
function nested(draw: Draw, room: number): string {
  const [open, close] = draw.one([
    ['{"a":', '}'],
    ['[', ']'],
    ['[{"b":', '}]'],
  ] as const);
  const depth = draw.chance(0.7) ? draw.whole(1, 9) : draw.size(room / 6);
  return open.repeat(depth) + draw.whole(0, 99) + close.repeat(depth);
}

function digits(draw: Draw, room: number): string {
  const whole = '1'.repeat(draw.size(room / 2));
  return draw.one([whole, `0.${whole}`, `-${whole}.5`, `${whole}e-${whole.slice(0, 4)}`]);
}

function time(draw: Draw, room: number): string {
  const now = Date.UTC(2026, 4, 1, 12) - draw.whole(-600, 100_000) * 1_000;
  return draw.one<() => string>([
    () => String(now),
    () => String(now / 1_000),
    () => `"${new Date(now).toISOString()}"`,
    () => JSON.stringify(date(draw)),
    () => JSON.stringify(text(draw, room)),
    () => draw.one([...ODD_NUMBERS, 'null', '[]']),
  ])();
}

function timed(draw: Draw, room: number): string {
  return `{"ts":${time(draw, room / 4)},"values":${values(draw, room)}}`;
}

function listed(draw: Draw, room: number): string {
  return `[${many(draw, room, (left) => draw.one([values, timed, timed])(draw, left))}]`;
}

/** Items until they fill a share of the room: the same one again and again, or another each time. */
function many(draw: Draw, room: number, make: (room: number) => string): string {
  const share = draw.size(room);
  const first = make(draw.size(share));
  if (draw.chance(0.5)) return Array.from({ length: draw.size(share / (first.length + 1)) }, () => first).join(',');
  const items = [first];
  for (let length = first.length; length < share; length += (items.at(-1)?.length ?? 0) + 1) {
    items.push(make(draw.size(Math.min(200, share - length))));
  }
  return items.join(',');
}

function senml(draw: Draw, room: number): string {
  const base = [
    `"bn":${JSON.stringify(draw.chance(0.5) ? 'urn:dev:mac:0024befffe804ff1/' : text(draw, room / 2))}`,
    `"bt":${draw.one([time(draw, 100), '1777636800', '-5', '268435455'])}`,
    `"bu":${unit(draw, room / 2)}`,
    `"bv":${number(draw)}`,
    `"bs":${draw.one(ODD_NUMBERS)}`,
    `"bver":${draw.whole(1, 11)}`,
    `"${draw.one(['x_', 'x', 'bx'])}":1`,
  ].filter(() => draw.chance(0.3));
  const record = (left: number) => {
    const fields = [
      `"n":${JSON.stringify(draw.chance(0.7) ? draw.one(['a', 'ec', 'soil_moisture']) : text(draw, left))}`,
      `"u":${unit(draw, left / 2)}`,
      `"t":${draw.one([String(draw.whole(-9_999, 0) / 10), time(draw, left / 2)])}`,
      `"s":${draw.whole(0, 99)}`,
      `"vs":${JSON.stringify(text(draw, left / 2))}`,
      `"vb":true`,
    ].filter(() => draw.chance(0.4));
    return `{${[...fields, ...(draw.chance(0.9) ? [`"v":${draw.whole(0, 999) / 10}`] : [])].join(',')}}`;
  };
  const first = `{${[...base, `"n":"ec","v":${draw.whole(0, 50) / 10}`].join(',')}}`;
  return `[${first},${many(draw, room - first.length, record)}]`;
}

/** What a decoder of a network server made, with what the device kept from before. */
function decoded(draw: Draw, room: number): string {
  if (draw.chance(0.7)) return values(draw, room);
  const past = many(draw, room / 2, (left) => `{"${draw.one(['timestamp', 'time'])}":${time(draw, left)},"ec":1}`);
  return `{"history":[${past}],"soil_moisture":31}`;
}

function radio(draw: Draw, room: number): string {
  return `[${many(draw, room, (left) => `{"rssi":${leaf(draw, left)},"snr":6.25}`)}]`;
}

function base64(draw: Draw, room: number): string {
  return JSON.stringify(draw.chance(0.5) ? 'DPQAAAxKBzAAVxA='.repeat(draw.size(room / 16)) : text(draw, room));
}

function ttn(draw: Draw, room: number): string {
  const message = [
    `"f_port":${draw.whole(-1, 300)}`,
    `"frm_payload":${base64(draw, room / 2)}`,
    `"decoded_payload":${decoded(draw, room)}`,
    `"rx_metadata":${radio(draw, draw.size(room / 2))}`,
    `"received_at":${time(draw, room / 4)}`,
    `"last_battery_percentage":{"value":${leaf(draw, 20)}}`,
  ].filter(() => draw.chance(0.7));
  return `{"end_device_ids":{"device_id":"s1"},"uplink_message":{${message.join(',')}}}`;
}

function chirpstack(draw: Draw, room: number): string {
  const uplink = [
    `"time":${time(draw, room / 4)}`,
    `"fPort":${draw.whole(-1, 300)}`,
    `"data":${base64(draw, room / 2)}`,
    `"object":${decoded(draw, room)}`,
    `"rxInfo":${radio(draw, draw.size(room / 2))}`,
  ].filter(() => draw.chance(0.7));
  return `{${['"deviceInfo":{"devEui":"70b3d57ed0001234"}', ...uplink].join(',')}}`;
}

function chirpstack3(draw: Draw, room: number): string {
  const head = '{"applicationID":"7","deviceName":"s1","devEUI":"cLPVftAAEjQ=","fPort":2';
  return `${head},"data":${base64(draw, room / 2)},"objectJSON":${JSON.stringify(decoded(draw, room / 2))}}`;
}
