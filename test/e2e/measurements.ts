import type { ClockPolicy } from '../../telemetry/clock.ts';

/** What sensors send in `acknowledged.test.ts`, and the account of it that the store is compared with. */

export const BOTH_FARMS = ['north', 'south'] as const;
export type FarmId = (typeof BOTH_FARMS)[number];
export type Qos = 0 | 1 | 2;

/** Payload forms. Those that are `timed` tell when they measured; `ago` tells it as a span before now. */
export const FORMS = [
  'native',
  'native timed',
  'native list timed',
  'senml',
  'senml timed',
  'senml ago',
  'uplink',
  'uplink timed',
  'thingsboard',
  'thingsboard timed',
  'thingsboard list',
] as const;
export type Form = (typeof FORMS)[number];

/** One value that was measured. */
export interface Measured {
  readonly metric: string;
  readonly value: number;
  /** Its own time, whole Unix ms. Undefined: it is dated by its receipt. */
  readonly ts: number | undefined;
  /** How long before its receipt it was measured, ms; of one without a time of its own. */
  readonly agoMs: number;
}

/** One message, and what became of it. Times are Unix ms. */
export interface Message {
  readonly farm: FarmId;
  readonly sensor: string;
  readonly qos: Qos;
  readonly topic: string;
  readonly payload: string;
  readonly measured: readonly Measured[];
  readonly sentAt: number;
  acknowledgedAt?: number;
  /** How often it may have been sent with QoS 1 after an acknowledgement that was lost with its connection; absent: never. */
  sentAgain?: number;
}

/** Who measures, by whose clock, and under which metric's name. */
export interface MeasuringSensor {
  readonly farm: FarmId;
  readonly sensor: string;
  readonly metric: string;
  readonly clock: ClockPolicy;
}

const MINUTE = 60_000;
/** Of a list, how long before its newest value the others were measured, ms. */
const SPANS = [2 * MINUTE, MINUTE, 0] as const;

/** Invents measurements: no value comes twice, and no time of a sensor does. All farms use the same times. */
export class Measurements {
  private readonly begin = Date.now() - 60 * MINUTE;
  private readonly times = new Map<string, number>();
  private count = 0;

  /** A message that is about to be sent. */
  message(form: Form, by: MeasuringSensor, qos: Qos): Message {
    const { farm, sensor } = by;
    const { measured, content } = this.contentOf(form, by);
    const common = { farm, sensor, qos, topic: topicOf(form, farm, sensor), sentAt: Date.now() };
    return { ...common, payload: JSON.stringify(content), measured };
  }

  /** A value with a time of its own, whatever clock the sensor has. */
  timed({ farm, sensor, metric }: MeasuringSensor): Measured & { readonly ts: number } {
    return { metric, value: this.value(), ts: this.time(`${farm}/${sensor}`), agoMs: 0 };
  }

  private contentOf(form: Form, by: MeasuringSensor): { measured: readonly Measured[]; content: unknown } {
    const { metric, clock } = by;
    if (form.includes('list')) return this.listOf(form, by);
    const value = this.value();
    const told = form.endsWith('timed') ? this.time(`${by.farm}/${by.sensor}`) : undefined;
    const agoMs = form === 'senml ago' && clock === 'device' ? MINUTE : 0;
    const measured = [{ metric, value, ts: clock === 'device' ? told : undefined, agoMs }];
    switch (form) {
      case 'native timed':
      case 'thingsboard timed':
        return { measured, content: { ts: this.written(told ?? 0), values: { [metric]: value } } };
      case 'senml':
        return { measured, content: [{ n: metric, v: value }] };
      case 'senml timed': {
        // A base time and a time since then, both with ms: their sum is not an exact number.
        const since = (this.count * 7_919) % MINUTE;
        const base = { bn: 'farm/probe/', bt: ((told ?? 0) - since) / 1_000 };
        return { measured, content: [base, { n: metric, t: since / 1_000, v: value }] };
      }
      case 'senml ago':
        return { measured, content: [{ n: metric, t: -MINUTE / 1_000, v: value }] };
      case 'uplink':
        return { measured, content: { deviceInfo: {}, object: { [metric]: value } } };
      case 'uplink timed': {
        const time = new Date(told ?? 0).toISOString();
        return { measured, content: { deviceInfo: {}, time, object: { [metric]: value } } };
      }
      default:
        return { measured, content: { [metric]: value } };
    }
  }

  /** Three values with times; in ThingsBoard's form one more without. */
  private listOf(form: Form, { farm, sensor, metric, clock }: MeasuringSensor) {
    // Far enough from the times of other lists that no two values have the same one.
    const newest = this.time(`${farm}/${sensor}`);
    const timed = SPANS.map((agoMs): Measured & { told: number } => {
      const told = newest - agoMs;
      return { metric, value: this.value(), ts: clock === 'device' ? told : undefined, agoMs, told };
    });
    const items: unknown[] = timed.map(({ told, value }) => ({ ts: told, values: { [metric]: value } }));
    if (form !== 'thingsboard list') return { measured: timed, content: items };
    const untimed = { metric, value: this.value(), ts: undefined, agoMs: 0 };
    return { measured: [...timed, untimed], content: [...items, { [metric]: untimed.value }] };
  }

  private value(): number {
    this.count += 1;
    const whole = this.count;
    return [whole, whole + 1 / 3, -whole - 0.1][whole % 3] ?? whole;
  }

  private time(of: string): number {
    const next = (this.times.get(of) ?? this.begin) + 1;
    this.times.set(of, next);
    return next;
  }

  /** A time in one of the ways that Loam reads: ms, seconds, or a date. */
  private written(ts: number): number | string {
    return [ts, ts / 1_000, new Date(ts).toISOString()][this.count % 3] ?? ts;
  }
}

function topicOf(form: Form, farm: FarmId, sensor: string): string {
  if (form.startsWith('thingsboard')) return 'v1/devices/me/telemetry';
  if (form.startsWith('uplink')) return `application/${farm}/device/${sensor}/event/up`;
  return `farms/${farm}/sensors/${sensor}/telemetry`;
}

/** One value in the store. */
export interface StoredValue {
  readonly farm: string;
  readonly sensor: string;
  readonly metric: string;
  readonly ts: number;
  readonly value: number;
}

/** How many points one value may be, and when. */
interface Expected {
  least: number;
  most: number;
  readonly ts: number | undefined;
  from: number;
  to: number;
}

/** How far a receipt may be from the times at which a message was sent and acknowledged, ms. */
const CLOCK_MS = 5;

/**
 * All that was sent. An acknowledged message is one point for each of its values, and so is every other message without
 * a time of its own; with QoS 1 it may be one more for each acknowledgement that was lost. The same value at the same time of
 * its own is one point, however often it is sent. What was not acknowledged is there once at most.
 */
export class Account {
  readonly messages: Message[] = [];

  private readonly bySources: Message[] = [];

  add(messages: readonly Message[]): void {
    this.messages.push(...messages);
  }

  /** These come through another broker. It acknowledges them by itself, and sends them again when the line to it is cut. */
  addOfSource(messages: readonly Message[]): void {
    this.add(messages);
    this.bySources.push(...messages);
  }

  /** The lines to the other broker were cut: acknowledgements may be lost, also those of what came before. */
  sourcesCut(): void {
    for (const message of this.bySources) message.sentAgain = (message.sentAgain ?? 0) + 1;
  }

  /** What is wrong with the stored values, one line each; nothing when all is as it must be. */
  complaints(stored: readonly StoredValue[]): string[] {
    const expected = this.expected();
    const counts = new Map<string, number>();
    const wrong: string[] = [];
    for (const value of stored) {
      const key = keyOf(value.farm, value);
      const one = expected.get(key);
      if (!one) wrong.push(`nobody sent ${key}, at ${value.ts}`);
      else if (one.ts !== undefined && value.ts !== one.ts) wrong.push(`${key} is at ${value.ts}, not ${one.ts}`);
      else if (value.ts < one.from || value.ts > one.to)
        wrong.push(`${key} is at ${value.ts}, not from ${one.from} to ${one.to}`);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    for (const [key, { least, most }] of expected) {
      const count = counts.get(key) ?? 0;
      if (count < least || count > most) wrong.push(`${key} is ${count} points, not ${least} to ${most}`);
    }
    return wrong;
  }

  private expected(): Map<string, Expected> {
    const expected = new Map<string, Expected>();
    for (const message of this.messages) {
      const { sentAt, acknowledgedAt } = message;
      const least = acknowledgedAt === undefined ? 0 : 1;
      const latest = message.sentAgain || acknowledgedAt === undefined ? Date.now() : acknowledgedAt;
      for (const measured of message.measured) {
        const key = keyOf(message.farm, { ...measured, sensor: message.sensor });
        const one = expected.get(key) ?? { least: 0, most: 0, ts: measured.ts, from: Number.POSITIVE_INFINITY, to: 0 };
        const isTimed = measured.ts !== undefined;
        one.least = isTimed ? Math.max(one.least, least) : one.least + least;
        one.most = isTimed ? 1 : one.most + 1 + (message.sentAgain ?? 0);
        one.from = Math.min(one.from, measured.ts ?? sentAt - measured.agoMs - CLOCK_MS);
        one.to = Math.max(one.to, measured.ts ?? latest - measured.agoMs + CLOCK_MS);
        expected.set(key, one);
      }
    }
    return expected;
  }
}

function keyOf(farm: string, { sensor, metric, value }: Omit<StoredValue, 'farm' | 'ts'>): string {
  return `${farm}/${sensor}/${metric} ${value}`;
}
