import { batch, computed, effect, type Signal, signal } from '@preact/signals';
import type { SensorView } from '../../client/latest.ts';
import { fieldValueAt, heldFor, meanKindOf } from '../../telemetry/field-value.ts';
import { mainMetrics } from '../../telemetry/main-metrics.ts';
import type { Tone } from '../format/words.ts';
import { Board } from './board.ts';
import { now } from './device.ts';
import { inOrder, metricOf } from './farms.ts';
import { type FieldSensors, fields } from './fields.ts';
import { byRank, countedOf, type Finding, findingsOf, worstOf } from './findings.ts';
import { refusals } from './refusals.ts';
import { intervalOf, isBridge, sensors } from './sensors.ts';

export interface MainValue {
  readonly metric: string;
  readonly mean: number | undefined;
}

export interface FieldHealth {
  readonly tone: Tone;
  /** What is wrong in it, in few words; of the worst kind. */
  readonly words: string;
  /** How many of its sensors are in that state, and how many there are. */
  readonly affected: number;
  readonly total: number;
  /** Its main metrics, first the foremost, each with the field's value; that is undefined when no value is fresh. */
  readonly mains: readonly MainValue[];
  /** Sensors' ids, those that need a look first. */
  readonly order: readonly string[];
}

const NOTHING: FieldHealth = {
  tone: 'none',
  words: '',
  affected: 0,
  total: 0,
  mains: [],
  order: [],
};

/** Fields judged in one task: fewer would need more frames, more would hold up the page for longer. */
const FIELDS_AT_ONCE = 25;
const sensorTones = new Board<Tone>('none');
const fieldStates = new Board<FieldHealth>(NOTHING, sameHealth);
/**
 * All that is wrong on the farm, worst first. Judged once a second: at each reading it would cost a large farm too
 * much.
 */
export const findings = signal<readonly Finding[]>([]);
/** How many sensors have never reported. */
export const silent = signal(0);
/** When the newest value of the farm was measured, Unix ms. */
export const newestValue = signal<number | undefined>(undefined);
export const judged = signal(false);

export const toneOfSensor = (sensor: string) => sensorTones.get(sensor);
export const healthOfField = (field: string) => fieldStates.get(field);

/** The first field that each sensor belongs to. */
export const fieldOfSensor = computed(() => {
  const places = new Map<string, string>();
  for (const field of fields.value) for (const sensor of field.sensors) places.set(sensor, field.id);
  return places;
});

/** What is wrong with each sensor, as last judged. */
const bySensor = new Map<string, readonly Finding[]>();

export function startHealth(): void {
  effect(() => {
    bySensor.clear();
    for (const field of fields.value) judge(field);
    sensorTones.setAll(new Map([...bySensor.keys()].map((id) => [id, toneOf(id)])));
    fieldStates.setAll(new Map(fields.value.map((f) => [f.id, fieldStates.get(f.id).peek()])));
    sumUp();
  });
  effect(() => {
    if (now.value > 0) void judgeInTurn();
  });
}

/** Judges some fields at a time, each lot in a task of its own, so that the page answers in between. */
async function judgeInTurn(): Promise<void> {
  const all = fields.peek();
  for (let i = 0; i < all.length && fields.peek() === all; i += FIELDS_AT_ONCE) {
    if (i > 0) await new Promise((next) => setTimeout(next));
    batch(() => all.slice(i, i + FIELDS_AT_ONCE).forEach(judge));
  }
  sumUp();
}

function judge({ id: field, sensors: ids, main }: FieldSensors): void {
  const at = now.peek();
  for (const id of ids) {
    const view = sensors.peek().get(id)?.peek();
    if (view === undefined) continue;
    const [intervalMs, bridge, refusal] = [intervalOf(id), isBridge(id), refusals.peek().get(id)];
    bySensor.set(id, findingsOf({ view, intervalMs, bridge, now: at, metricOf, refusal }));
    sensorTones.set(id, toneOf(id));
  }
  fieldStates.set(field, fieldHealth(ids, main, at));
}

function sumUp(): void {
  batch(() => {
    findings.value = fields
      .peek()
      .flatMap(({ sensors: ids }) => countedIn(ids))
      .sort((a, b) => byRank(a.tone, b.tone));
    silent.value = [...bySensor.values()].flat().filter(({ kind }) => kind === 'never').length;
    newestValue.value = newestOf(sensors.peek().values());
    judged.value = sensors.peek().size > 0;
  });
}

function newestOf(views: Iterable<Signal<SensorView>>): number | undefined {
  let newest: number | undefined;
  for (const view of views)
    for (const [ts] of view.peek().values.values()) if (newest === undefined || ts > newest) newest = ts;
  return newest;
}

function fieldHealth(ids: readonly string[], main: readonly string[], at: number): FieldHealth {
  const firsts = countedIn(ids).filter((f, i, all) => all[i - 1]?.sensor !== f.sensor);
  const tone = firsts.length === 0 ? 'fine' : worstOf(firsts.map((f) => f.tone));
  const worst = firsts.filter((f) => f.tone === tone);
  const order = [...ids].sort((a, b) => byRank(toneOf(a), toneOf(b)));
  return {
    tone,
    words: worst[0]?.words ?? 'Fine',
    affected: worst.length,
    total: ids.length,
    order,
    mains: mainMetrics(main, measuredBy(ids)).map((metric) => ({ metric, mean: fieldValueOf(metric, ids, at) })),
  };
}

function countedIn(ids: readonly string[]): Finding[] {
  return countedOf(ids.map((id) => bySensor.get(id) ?? []));
}

function toneOf(id: string): Tone {
  return bySensor.get(id)?.[0]?.tone ?? 'fine';
}

/** What a field's sensors measure, in the order in which it is shown. */
export function measuredBy(ids: readonly string[]): string[] {
  const found = new Set<string>();
  for (const id of ids) for (const metric of sensors.peek().get(id)?.peek().values.keys() ?? []) found.add(metric);
  return inOrder(found);
}

function fieldValueOf(metric: string, ids: readonly string[], at: number): number | undefined {
  const newest = ids.flatMap((id) => {
    const [ts, value] = sensors.peek().get(id)?.peek().values.get(metric) ?? [];
    if (ts === undefined || value === undefined) return [];
    return [{ measured: { ts, value }, heldMs: heldFor(intervalOf(id)) }];
  });
  return fieldValueAt(at, newest, meanKindOf(metric));
}

function sameHealth(a: FieldHealth, b: FieldHealth): boolean {
  return (
    a.tone === b.tone &&
    a.words === b.words &&
    a.affected === b.affected &&
    a.total === b.total &&
    a.mains.length === b.mains.length &&
    a.mains.every(({ metric, mean }, i) => metric === b.mains[i]?.metric && mean === b.mains[i]?.mean) &&
    a.order.length === b.order.length &&
    a.order.every((id, i) => id === b.order[i])
  );
}
