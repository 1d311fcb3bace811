import { type ImportRow, readRows } from '../../dashboard-gateway/import/rows.ts';
import { decodePublish } from '../../telemetry/formats/formats.ts';
import { decodeImported, encodeImported } from '../../telemetry/imported.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { Rulebook, type SensorRules } from '../../telemetry/sensor-rules.ts';
import { RECEIVED, TOPICS } from '../unit/telemetry-payloads.ts';
import { Draw } from './draw.ts';
import { FORMS, mutated } from './payloads.ts';
import { READERS } from './readers.ts';
import { flawsOf } from './sound.ts';
import { phrase, text } from './texts.ts';

/** The largest payload that the broker takes is a little smaller than its largest packet (`packetBytes`). */
export const MOST_BYTES = 64 * 1024 - 64;

/** One input for one reader. */
export interface Case {
  readonly reader: string;
  readonly bytes: number;
  /** What a person sees of the input. */
  readonly shown: string;
  /** Makes everything ready and returns the work, to be measured. The work returns what looks at its outcome. */
  readonly ready: () => () => () => Seen;
}

export interface Seen {
  /** What must not be; empty when all is well. */
  readonly flaws: readonly string[];
  /** Whether readings were taken: a case of which nothing is taken tries little. */
  readonly taken?: boolean;
}

/** The case with a seed, always the same. */
export function caseOf(seed: number): Case {
  const draw = new Draw(seed);
  const room = draw.size(MOST_BYTES);
  if (draw.chance(0.5)) return payloadCase(draw, room);
  return draw.one([readerCase, readerCase, readerCase, importCase, rowsCase])(draw, room);
}

function payloadCase(draw: Draw, room: number): Case {
  const form = draw.one(['native', 'thingsboard', 'ttn', 'chirpstack'] as const);
  const payload = bytesOf(draw, mutated(draw, FORMS[form](draw, room), room));
  const kind = draw.one(KINDS);
  return {
    reader: form,
    bytes: payload.length,
    shown: new TextDecoder().decode(payload),
    ready: () => {
      const publish = { farm: 'north', field: 'f', sensor: 's1', topic: TOPICS[form], payload, received: RECEIVED };
      const rules = freshRules(kind);
      return () => {
        const decoded = decodePublish(publish, rules);
        return () => ({ flaws: flawsOf(decoded, publish), taken: decoded.readings.length > 0 });
      };
    },
  };
}

/** What the gateway puts into the queue for a file, and what somebody else might. */
function importCase(draw: Draw, room: number): Case {
  const readings = Array.from({ length: draw.size(room / 40) }, () => ({
    ts: RECEIVED - draw.whole(0, 1e9) / 1_000,
    values: { ec: draw.whole(0, 99), [draw.chance(0.01) ? phrase(draw) : `m${draw.whole(0, 99)}`]: 1 },
  }));
  const payload = bytesOf(draw, mutated(draw, new TextDecoder().decode(encodeImported(readings)), room));
  const publish = { farm: 'north', field: 'f', sensor: 's1', topic: TOPICS.native, payload, received: RECEIVED };
  return {
    reader: 'imported',
    bytes: payload.length,
    shown: new TextDecoder().decode(payload),
    ready: () => () => {
      const decoded = decodeImported(publish);
      return () => ({ flaws: flawsOf(decoded, publish), taken: decoded.readings.length > 0 });
    },
  };
}

/** The rows of a file, as the gateway gets them from the command line or from somebody else. */
function rowsCase(draw: Draw, room: number): Case {
  const name = () => (draw.chance(0.5) ? 'soil_moisture' : text(draw, 200).slice(0, 200));
  const rows = Array.from({ length: draw.size(room / 20) }, (_, i): ImportRow => {
    const ts = draw.chance(0.9) ? RECEIVED - draw.whole(0, 1_000) : draw.whole(-9, 9) * 1e18;
    return [i, ts, { [name()]: draw.whole(0, 99), ...(draw.chance(0.5) ? { [name()]: 1e308 } : {}) }];
  });
  const units = { soil_moisture: '%', [name()]: '°F' };
  const shown = JSON.stringify(rows);
  return {
    reader: 'rows',
    bytes: shown.length,
    shown,
    ready: () => {
      const rules = freshRules('s');
      return () => {
        const { readings, refused } = readRows(rows, units, rules, RECEIVED);
        const from = { farm: 'north', sensor: 's1', received: RECEIVED };
        const decoded = { readings: readings.map((one) => ({ ...from, ...one })), refused: [], skipped: 0 };
        return () => ({
          flaws: [
            ...(readings.length > 0 ? flawsOf(decoded, from) : []),
            ...(readings.length + refused.length === 0 ? ['silence'] : []),
          ],
          taken: readings.length > 0,
        });
      };
    },
  };
}

function readerCase(draw: Draw, room: number): Case {
  const reader = draw.one(Object.keys(READERS));
  const read = READERS[reader]?.(draw);
  const given = text(draw, room);
  return {
    reader,
    bytes: Buffer.byteLength(given),
    shown: given,
    ready: () => () => {
      const flaws = read?.(given) ?? ['there is no such reader'];
      return () => ({ flaws });
    },
  };
}

/** The bytes of a text, no more than a payload may have, now and then with one that is not UTF-8. */
function bytesOf(draw: Draw, given: string): Uint8Array {
  const bytes = new TextEncoder().encode(given).slice(0, MOST_BYTES);
  if (draw.chance(0.03)) bytes[draw.whole(0, Math.max(0, bytes.length - 1))] = draw.whole(0, 255);
  return bytes;
}

/** Kinds of sensors: `s` follows the catalogue, `r` is dated by receipt and calls things otherwise, `u` is in no registry. */
const KINDS = ['s', 'r', 'u'] as const;
type Kind = (typeof KINDS)[number];

const SENSORS = 500;
const registry = parseRegistry(
  JSON.stringify({
    farms: [{ id: 'north', name: 'North', timezone: 'Europe/Berlin' }],
    sensors: Array.from({ length: SENSORS }, (_, i) => [
      { id: `s${i}`, farm: 'north' },
      {
        id: `r${i}`,
        farm: 'north',
        clock: 'receipt',
        aliases: { a: 'soil_moisture', m1: 'ec' },
        units: { soil_moisture: 'm3/m3' },
      },
    ]).flat(),
    metrics: [{ id: 'pm', label: 'PM2.5', unit: 'µg/m³' }],
  }),
);
let rulebook = new Rulebook();
let given = 0;

/** Rules of a sensor that has sent nothing yet: so a case is the same whatever was tried before it. */
function freshRules(kind: Kind): SensorRules {
  // A new book costs more than most cases.
  if (given === SENSORS) [rulebook, given] = [new Rulebook(), 0];
  return rulebook.of('north', `${kind}${given++}`, registry);
}
