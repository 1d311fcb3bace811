import { generate } from 'mqtt-packet';
import { identify, identifyCertified } from '../../broker/auth/identity.ts';
import { PublishReader } from '../../broker/mqtt/publish-packet.ts';
import { explain } from '../../core/errors.ts';
import { Networks } from '../../core/networks.ts';
import { SecretKeys } from '../../core/secret-key.ts';
import { clientOf } from '../../dashboard-gateway/http/origin.ts';
import { parseMessage } from '../../dashboard-gateway/live/sockets/protocol.ts';
import { namesZone, readInstant, readTime } from '../../telemetry/clock.ts';
import { child, kind, quote } from '../../telemetry/formats/decoded.ts';
import { metricName } from '../../telemetry/formats/metric-name.ts';
import { quantityIn } from '../../telemetry/formats/quantity.ts';
import { numbersReader } from '../../telemetry/logger-files/number-cells.ts';
import { DATE_ORDERS, formatReader, timesReader } from '../../telemetry/logger-files/time-cells.ts';
import { METRIC_NAME } from '../../telemetry/reading.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { parsePublishTopic } from '../../telemetry/topic.ts';
import { conversion, convert, groupUnit, isUnit } from '../../telemetry/units.ts';
import type { Draw } from './draw.ts';

/** Reads a text that somebody else wrote. Returns what is wrong with what it made of it; usually nothing. */
export type TextReader = (text: string) => readonly string[];

const ZONE = 'Europe/Berlin';
const registry = parseRegistry(`
farms: [{ id: north, name: North, timezone: ${ZONE} }]
sensors: [{ id: s1, farm: north, secret: ${'a'.repeat(64)} }]
`);
const proxies = Networks.parse('127.0.0.1, 10.0.0.0/8') ?? new Networks();
const KEYS = new SecretKeys('k'.repeat(32));
const FORMATS = ['DD.MM.YYYY HH:mm', 'DD-MMM-YY hh:mm A', 'YYYYMMDDHHmmss', 'MM/DD/YYYY', 'DDMMYYYY'] as const;

/** Everything that reads a text from outside, other than a payload, by what the text is. */
export const READERS: Readonly<Record<string, (draw: Draw) => TextReader>> = {
  topic: () => (text) => {
    // The length of a topic is told in two bytes.
    const topic = text.slice(0, 20_000) || '/';
    const packet = generate({ cmd: 'publish', topic, payload: '1', qos: 0, dup: false, retain: false });
    const read = new PublishReader().read(packet);
    const parsed = parsePublishTopic(read?.topic ?? text);
    return parsed?.sensor !== undefined && parsed.sensor.length > 64 ? ['a long sensor id'] : [];
  },
  'user name': () => (text) => {
    identify(registry, text, Buffer.from(text), KEYS);
    identify(registry, text, undefined, KEYS);
    identifyCertified(registry, { name: text, key: text, serial: text, fingerprint: text, validTo: 0 }, text);
    return [];
  },
  time: () => (text) => {
    const [time, instant] = [readTime(text, ZONE), readInstant(text, ZONE)];
    namesZone(text);
    return [
      ...flawOf('time', time),
      ...(time === undefined || Number.isInteger(time) ? [] : [`the time ${time}`]),
      ...flawOf('instant', instant),
    ];
  },
  quantity: () => (text) => {
    const quantity = quantityIn(text);
    if (quantity === undefined || quantity === 'comma') return [];
    if (Number.isNaN(quantity.number)) return [`the number of ${quote(text)}`];
    return quantity.unit === '' ? [`an empty unit in ${quote(text)}`] : [];
  },
  unit: () => (text) => {
    const change = conversion(text, '°C');
    const value = change && convert(21.5, change);
    const ownUnit = groupUnit(text);
    return [
      ...flawOf('converted value', value),
      ...(isUnit(text) && ownUnit === undefined ? ['a unit without a group'] : []),
    ];
  },
  cell: (draw) => {
    const readNumber = numbersReader({ comma: draw.chance(0.5), unit: '%', compass: draw.chance(0.5) });
    const readTimes = draw.chance(0.5)
      ? timesReader(ZONE, draw.one(DATE_ORDERS))
      : formatReader(ZONE, draw.one(FORMATS));
    return (text) => {
      const [first, second] = readTimes(text);
      const flaws = [...flawOf('time', first), ...flawOf('second time', second)];
      return [...flaws, ...(Number.isNaN(readNumber(text)) ? ['a number that is none'] : [])];
    };
  },
  'metric name': () => (text) => {
    const name = metricName(text);
    return name === undefined || METRIC_NAME.test(name) ? [] : [`the name ${name}`];
  },
  address: () => (text) => {
    clientOf('127.0.0.1', { by: text, proto: text }, { tls: false, trusted: proxies });
    Networks.parse(text);
    return [];
  },
  message: () => (text) => {
    const parsed = parseMessage(text);
    return 'wrong' in parsed && parsed.wrong.length > 10_000 ? ['a long answer'] : [];
  },
  explanation: () => (text) => {
    const said = [explain(new Error(text)), quote(text), child('$', text), kind(text)];
    return said.slice(1).some((one) => one.length > 500) ? ['a long explanation'] : [];
  },
};

function flawOf(what: string, value: number | undefined): string[] {
  return value === undefined || Number.isFinite(value) ? [] : [`the ${what} ${value}`];
}
