import { type Condition, condition, SENSOR_STATES, type SensorState } from '../../client/messages.ts';
import type { HistoryAnswer, HistoryRow } from '../../client/series.ts';
import { finite, flag, list, listOf, oneOf, optional, record, text } from '../../client/shape-checks.ts';

/** What the gateway answers, as far as this app uses it. Times are Unix ms unless said otherwise. */
export interface Me {
  readonly user: string;
  readonly farms: readonly { readonly id: string; readonly role: string }[];
  readonly passwordSet: boolean;
}

export type Corner = readonly [latitude: number, longitude: number];

export interface ApiField {
  readonly id: string;
  readonly name: string;
  readonly crop: string | undefined;
  readonly polygon: readonly Corner[] | undefined;
  /** The metrics that stand for it, as its registry says; empty when it says nothing. */
  readonly main: readonly string[];
}

/** Where sensors connect. */
export interface Mqtt {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export interface ApiFarm {
  readonly id: string;
  readonly name: string;
  readonly timezone: string;
  readonly role: string;
  readonly fields: readonly ApiField[];
}

export interface ApiMetric {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  /** The range in which all is well. */
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly decimals: number | undefined;
}

export interface SensorInfo {
  readonly id: string;
  readonly field: string | undefined;
  readonly name: string | undefined;
  readonly position: Corner | undefined;
  /** How often it is expected to report, seconds. */
  readonly interval: number;
  readonly role: string;
  readonly state: SensorState;
  readonly lastSeen: number | undefined;
  readonly condition: Condition;
}

/** Each reader throws Unexpected when the answer is not of its shape. */
export function readMe(value: unknown): Me {
  const me = record(value, 'me');
  const farms = listOf(me.farms, 'farms', (v, path) => {
    const farm = record(v, path);
    return { id: text(farm.id, path), role: text(farm.role, path) };
  });
  return { user: text(me.user, 'user'), farms, passwordSet: flag(me.passwordSet, 'passwordSet') };
}

export function readFarms(value: unknown): { farms: ApiFarm[]; metrics: ApiMetric[]; mqtt: Mqtt | undefined } {
  const answer = record(value, 'farms');
  return {
    farms: listOf(answer.farms, 'farms', readFarm),
    metrics: listOf(answer.metrics, 'metrics', readMetric),
    mqtt: optional(answer.mqtt, 'mqtt', readMqtt),
  };
}

function readMqtt(value: unknown, path: string): Mqtt {
  const mqtt = record(value, path);
  return { host: text(mqtt.host, path), port: finite(mqtt.port, path), tls: flag(mqtt.tls, path) };
}

function readFarm(value: unknown, path: string): ApiFarm {
  const farm = record(value, path);
  return {
    id: text(farm.id, `${path}.id`),
    name: text(farm.name, `${path}.name`),
    timezone: text(farm.timezone, `${path}.timezone`),
    role: text(farm.role, `${path}.role`),
    fields: listOf(farm.fields, `${path}.fields`, (v, at) => {
      const field = record(v, at);
      return {
        id: text(field.id, at),
        name: text(field.name, at),
        crop: optional(field.crop, at, text),
        polygon: optional(field.polygon, at, (corners, place) => listOf(corners, place, corner)),
        main: optional(field.main, at, (main, place) => listOf(main, place, text)) ?? [],
      };
    }),
  };
}

function readMetric(value: unknown, path: string): ApiMetric {
  const metric = record(value, path);
  return {
    id: text(metric.id, `${path}.id`),
    label: text(metric.label, `${path}.label`),
    unit: text(metric.unit, `${path}.unit`),
    min: optional(metric.min, `${path}.min`, finite),
    max: optional(metric.max, `${path}.max`, finite),
    decimals: optional(metric.decimals, `${path}.decimals`, finite),
  };
}

export function readSensors(value: unknown): SensorInfo[] {
  return listOf(record(value, 'sensors').sensors, 'sensors', (v, path) => {
    const sensor = record(v, path);
    return {
      id: text(sensor.id, `${path}.id`),
      field: optional(sensor.field, `${path}.field`, text),
      name: optional(sensor.name, `${path}.name`, text),
      position: optional(sensor.position, `${path}.position`, corner),
      interval: finite(sensor.interval, `${path}.interval`),
      role: text(sensor.role, `${path}.role`),
      state: oneOf(sensor.state, `${path}.state`, SENSOR_STATES),
      lastSeen: optional(sensor.lastSeen, `${path}.lastSeen`, finite),
      condition: condition(sensor),
    };
  });
}

/** What can be changed of a sensor, as the registry has it; `name` is its id when it has none. */
export function readSensorEntry(value: unknown) {
  const sensor = record(record(value, 'answer').sensor, 'sensor');
  const position = optional(sensor.position, 'position', corner);
  return {
    field: text(sensor.field, 'field'),
    name: text(sensor.name, 'name'),
    interval: finite(sensor.interval, 'interval'),
    role: oneOf(sensor.role, 'role', ['sensor', 'bridge']),
    ...(position === undefined ? {} : { position }),
  };
}

export function readHistory(value: unknown): HistoryAnswer {
  const answer = record(value, 'history');
  return {
    bucketMs: finite(answer.bucketMs, 'bucketMs'),
    rows: listOf(answer.rows, 'rows', (v, path): HistoryRow => {
      const [ts, last, min, max, mean, count, received] = list(v, path);
      return [
        finite(ts, path),
        finite(last, path),
        finite(min, path),
        finite(max, path),
        finite(mean, path),
        finite(count, path),
        optional(received, path, finite),
      ];
    }),
  };
}

function corner(value: unknown, path: string): Corner {
  const [latitude, longitude] = list(value, path);
  return [finite(latitude, path), finite(longitude, path)];
}
