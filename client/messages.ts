import { finite, isRecord, list, listOf, oneOf, optional, record, text, Unexpected } from './shape-checks.ts';

export const SUBPROTOCOL = 'loam.v1';
export const SENSOR_STATES = ['online', 'late', 'offline', 'never'] as const;
export type SensorState = (typeof SENSOR_STATES)[number];

/** When it was measured (Unix ms) and the value. */
export type Measured = readonly [ts: number, value: number];

export const CLOCK_STATES = ['right', 'ahead', 'behind', 'jumps-back', 'wanders'] as const;

/** What is known of a sensor's clock. */
export interface ClockCondition {
  readonly is: (typeof CLOCK_STATES)[number];
  /** How far it is off, ms; of a clock that is right undefined. */
  readonly byMs: number | undefined;
  /** What would set it right: to date its readings by their receipt, or to add so many seconds to what it tells. */
  readonly propose: 'receipt' | { readonly offset: number } | undefined;
}

/** The condition of a sensor, as far as it is known. */
export interface Condition {
  /** How far its clock is ahead (above 0) or behind, ms. */
  readonly skewMs: number | undefined;
  readonly clock: ClockCondition | undefined;
  /** How many of its messages were refused. */
  readonly refused: number | undefined;
  readonly battery: number | undefined;
  readonly signal: number | undefined;
  readonly firmware: string | undefined;
}

export interface SnapshotSensor {
  readonly sensor: string;
  readonly field: string | undefined;
  readonly name: string | undefined;
  readonly state: SensorState;
  /** When its last reading was received. */
  readonly lastSeen: number | undefined;
  readonly condition: Condition;
  readonly values: ReadonlyMap<string, Measured>;
}

/** What one sensor measured of one metric within one frame: `count` values as one. `ts` is the time of `last`. */
export interface Row {
  readonly sensor: string;
  readonly metric: string;
  readonly ts: number;
  readonly last: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly count: number;
}

export type ServerMessage =
  | { type: 'snapshot'; id: number; epoch: string; seq: number; sensors: readonly SnapshotSensor[] }
  | { type: 'readings'; farm: string; field: string | undefined; rows: readonly Row[] }
  /** `now`: the gateway's time when it sent this, Unix ms; earlier gateways do not tell it. */
  | { type: 'tick'; farm: string; seq: number; now: number | undefined }
  | { type: 'gap'; id: number }
  | {
      type: 'status';
      farm: string | undefined;
      sensor: string;
      state: SensorState;
      since: number | undefined;
      condition: Condition;
    }
  | { type: 'degraded'; tickMs: number }
  | { type: 'error'; id: number | undefined; code: string; message: string };

/** The position from which a subscription goes on after a lost connection. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

export interface Wanted {
  readonly farm: string;
  /** Absent: the whole farm. */
  readonly fields: readonly string[] | undefined;
  readonly since: Position | undefined;
}

/** The text that asks for readings, from `since` on when it is given. */
export function subscribeMessage(id: number, { farm, fields, since }: Wanted): string {
  return JSON.stringify({ type: 'subscribe', id, farm, fields, since });
}

/** A probe: unsubscribes from an id that is never used. The server's error in reply shows that it is alive. */
export function probeMessage(): string {
  return unsubscribeMessage(0);
}

export function unsubscribeMessage(id: number): string {
  return JSON.stringify({ type: 'unsubscribe', id });
}

/**
 * Reads one message of the server.
 * Returns undefined for a type that this client does not know, so that a newer server may send more types. Throws
 * Unexpected for text that is not JSON or not of the expected shape.
 */
export function parseServerMessage(data: string): ServerMessage | undefined {
  const m = record(parseJson(data), '');
  switch (m.type) {
    case 'snapshot':
      return {
        type: 'snapshot',
        id: finite(m.id, 'id'),
        epoch: text(m.epoch, 'epoch'),
        seq: finite(m.seq, 'seq'),
        sensors: listOf(m.sensors, 'sensors', snapshotSensor),
      };
    case 'readings':
      return {
        type: 'readings',
        farm: text(m.farm, 'farm'),
        field: optional(m.field, 'field', text),
        rows: listOf(m.rows, 'rows', row),
      };
    case 'tick':
      return {
        type: 'tick',
        farm: text(m.farm, 'farm'),
        seq: finite(m.seq, 'seq'),
        now: optional(m.now, 'now', finite),
      };
    case 'gap':
      return { type: 'gap', id: finite(m.id, 'id') };
    case 'status':
      return {
        type: 'status',
        farm: optional(m.farm, 'farm', text),
        sensor: text(m.sensor, 'sensor'),
        state: oneOf(m.state, 'state', SENSOR_STATES),
        since: optional(m.since, 'since', finite),
        condition: condition(m),
      };
    case 'degraded':
      return { type: 'degraded', tickMs: finite(m.tickMs, 'tickMs') };
    case 'error':
      return {
        type: 'error',
        id: optional(m.id, 'id', finite),
        code: text(m.code, 'code'),
        message: optional(m.message, 'message', text) ?? '',
      };
    default:
      return undefined;
  }
}

function parseJson(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    throw new Unexpected('', 'JSON');
  }
}

function snapshotSensor(value: unknown, path: string): SnapshotSensor {
  const s = record(value, path);
  const values = isRecord(s.values) ? Object.entries(s.values) : [];
  return {
    sensor: text(s.sensor, `${path}.sensor`),
    field: optional(s.field, `${path}.field`, text),
    name: optional(s.name, `${path}.name`, text),
    state: oneOf(s.state, `${path}.state`, SENSOR_STATES),
    lastSeen: optional(s.lastSeen, `${path}.lastSeen`, finite),
    condition: condition(s),
    values: new Map(values.map(([metric, v]) => [metric, measured(v, `${path}.values.${metric}`)])),
  };
}

/** What `from` says of a sensor's condition; the list of sensors over HTTP uses the same names. */
export function condition(from: Readonly<Record<string, unknown>>): Condition {
  return {
    skewMs: optional(from.skewMs, 'skewMs', finite),
    clock: optional(from.clockFinding, 'clockFinding', clockCondition),
    refused: optional(from.refused, 'refused', finite),
    battery: optional(from.battery, 'battery', finite),
    signal: optional(from.signal, 'signal', finite),
    firmware: optional(from.firmware, 'firmware', text),
  };
}

function clockCondition(value: unknown, path: string): ClockCondition {
  const clock = record(value, path);
  return {
    is: oneOf(clock.is, `${path}.is`, CLOCK_STATES),
    byMs: optional(clock.byMs, `${path}.byMs`, finite),
    propose: optional(clock.propose, `${path}.propose`, proposal),
  };
}

function proposal(given: unknown, path: string): NonNullable<ClockCondition['propose']> {
  return isRecord(given) ? { offset: finite(given.offset, path) } : oneOf(given, path, ['receipt'] as const);
}

function measured(value: unknown, path: string): Measured {
  const [ts, v] = list(value, path);
  return [finite(ts, path), finite(v, path)];
}

function row(value: unknown, path: string): Row {
  const [sensor, metric, ts, lastValue, min, max, mean, count] = list(value, path);
  const last = finite(lastValue, path);
  const one = { sensor: text(sensor, path), metric: text(metric, path), ts: finite(ts, path), last };
  if (count === undefined) return { ...one, min: last, max: last, mean: last, count: 1 };
  return {
    ...one,
    min: finite(min, path),
    max: finite(max, path),
    mean: finite(mean, path),
    count: finite(count, path),
  };
}
