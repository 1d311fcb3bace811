import mqttPacket from 'mqtt-packet';
import { wallAt } from '../../core/clock.ts';
import type { LoadSensor } from './plan.ts';

/** One publish: reading number `seq` of a sensor, of time `ts`, due at `due` (ms of `clock.passed()`). */
export interface Message {
  readonly sensor: number;
  readonly seq: number;
  readonly ts: number;
  readonly due: number;
}

const METRICS = [
  'soil_moisture',
  'soil_temperature',
  'ec',
  'battery',
  'air_temperature',
  'air_humidity',
  'rain',
  'rssi',
];

/** After so many readings, all values except `seq` repeat. */
const PERIOD = 300;

/** Makes payloads in the native format: `seq`, and `metrics` other metrics whose values depend on `seq`. */
export class Payloads {
  // Made only once: formatting four numbers for each publish was a tenth of the generator's work.
  private readonly endings: readonly string[];

  constructor(metrics: number) {
    this.endings = Array.from({ length: PERIOD }, (_, i) => `${othersOf(i, metrics)}}}`);
  }

  of(seq: number, ts: number): string {
    return `{"ts":${ts},"values":{"seq":${seq}${this.endings[seq % PERIOD] ?? ''}`;
  }
}

function othersOf(seq: number, metrics: number): string {
  let values = '';
  for (let i = 0; i < metrics; i++) {
    values += `,"${METRICS[i] ?? `extra_${i}`}":${10 + ((seq + i * 7) % PERIOD) / 10}`;
  }
  return values;
}

/** The PUBLISH packet of a message; QoS 0 without `messageId`. `again`: it was sent before. */
export function publishPacket(topic: string, payload: string | Buffer, messageId?: number, again = false): Buffer {
  return mqttPacket.generate({
    cmd: 'publish',
    topic,
    payload,
    qos: messageId === undefined ? 0 : 1,
    dup: again,
    retain: false,
    ...(messageId === undefined ? {} : { messageId }),
  });
}

/** Numbers the readings of some sensors that take turns, and gives each its time. */
export class Numbering {
  private readonly next: number[];
  private readonly last: number[];
  private turn = 0;

  constructor(sensors: readonly LoadSensor[], firstSeq: number) {
    this.next = sensors.map(() => firstSeq);
    this.last = sensors.map(() => 0);
  }

  /** The next message. `due` is of `clock.passed()`; `times` as in the plan. */
  take(due: number, times: { readonly first: number; readonly step: number } | 'due'): Message {
    const sensor = this.turn;
    this.turn = (this.turn + 1) % this.next.length;
    const seq = this.next[sensor] ?? 1;
    this.next[sensor] = seq + 1;
    const ts =
      times === 'due'
        ? Math.max((this.last[sensor] ?? 0) + 1, Math.round(wallAt(due)))
        : times.first + (seq - 1) * times.step;
    this.last[sensor] = ts;
    return { sensor, seq, ts, due };
  }
}
