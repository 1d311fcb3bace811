import type { SensorView } from '../../client/latest.ts';
import { clockWords } from '../../telemetry/clock-words.ts';
import { refusalWords } from '../../telemetry/refusal-words.ts';
import type { SensorRefusal, ShownEvent } from '../api/events.ts';
import type { ApiMetric } from '../api/shapes.ts';
import { levelOf } from '../format/value.ts';
import { type Tone, wordingOf } from '../format/words.ts';

/** One thing that is not as it should be, of one sensor. */
export interface Finding {
  readonly sensor: string;
  readonly kind: 'low' | 'high' | 'offline' | 'late' | 'never' | 'clock' | 'refused';
  readonly words: string;
  readonly tone: Tone;
  /** Of a value out of range. */
  readonly metric: string | undefined;
  readonly value: number | undefined;
  /** Of a sensor that fell silent: when it was last heard. */
  readonly lastSeen: number | undefined;
  /** Of a clock: what is wrong with it. Of a refusal: from where, and why. */
  readonly more?: string;
  /** Of a refusal: when it was. */
  readonly refusedAt?: number;
}

/** A value past this many intervals is old. The gateway calls a sensor late by the same measure. */
export const OLD_AFTER = 2;

const RANK: Record<Tone, number> = { dry: 0, wet: 1, offline: 2, late: 3, none: 4, fine: 5 };

export interface Judging {
  readonly view: SensorView;
  readonly intervalMs: number;
  readonly bridge: boolean;
  /** Unix ms. */
  readonly now: number;
  readonly metricOf: (id: string) => ApiMetric;
  /** What is known of its newest refusal, by those who may know. */
  readonly refusal?: SensorRefusal | undefined;
}

/** What is wrong with a sensor, worst first. An old value says nothing about now: then only the silence is wrong. */
export function findingsOf({ view, intervalMs, bridge, now, metricOf, refusal }: Judging): Finding[] {
  const refused = refusedSince({ view, refusal, bridge, now });
  // A bridge passes on what others measured and has nothing to say itself.
  if (bridge && view.values.size === 0) return refused ? [refusedFinding(view, refused)] : [];
  const found: Finding[] = [];
  let newest = Number.NEGATIVE_INFINITY;
  for (const [metric, [ts, value]] of view.values) {
    newest = Math.max(newest, ts);
    if (now - ts > OLD_AFTER * intervalMs) continue;
    const level = levelOf(value, metricOf(metric));
    if (level === 'ok') continue;
    const { words, tone } = wordingOf(metric, level);
    found.push({ sensor: view.id, kind: level, words, tone, metric, value, lastSeen: undefined });
  }
  // A refusal says why it is silent.
  const silence = refused ? refusedFinding(view, refused) : silenceOf(view, now - newest > OLD_AFTER * intervalMs);
  if (silence) found.push(silence);
  const clock = clockOf(view);
  if (clock) found.push(clock);
  return found.sort((a, b) => RANK[a.tone] - RANK[b.tone]);
}

/** A bridge passes on what others measured: whether it was let in since is not seen. A refused client comes back soon. */
const BRIDGE_MS = 15 * 60_000;
const LONGEST_MS = 7 * 86_400_000;

/** The newest refusal of a sensor when it was not heard since; undefined when it was, or when that was long ago. */
export function refusedSince({
  view,
  refusal,
  bridge,
  now,
}: Pick<Judging, 'view' | 'refusal' | 'bridge' | 'now'>): ShownEvent | undefined {
  const refused = refusal?.refused;
  // The view's is of when the page was opened, or the sensor fell silent.
  const heard = Math.max(view.lastSeen ?? 0, refusal?.lastSeen ?? 0);
  if (refused === undefined || refused.at <= heard) return undefined;
  return now - refused.at < (bridge ? BRIDGE_MS : LONGEST_MS) ? refused : undefined;
}

function refusedFinding({ id, state }: SensorView, { at, from, why }: ShownEvent): Finding {
  const about = { metric: undefined, value: undefined, lastSeen: undefined, refusedAt: at };
  const more = `from ${from ?? 'an unknown address'}: ${refusalWords(why ?? '').words}`;
  // One that reports all the same may have a namesake that does not.
  return {
    sensor: id,
    kind: 'refused',
    words: 'Refused',
    tone: state === 'online' ? 'late' : 'offline',
    ...about,
    more,
  };
}

function silenceOf(view: SensorView, old: boolean): Finding | undefined {
  const of = { sensor: view.id, metric: undefined, value: undefined, lastSeen: view.lastSeen };
  if (view.state === 'offline') return { ...of, kind: 'offline', words: 'Offline', tone: 'offline' };
  if (view.state === 'never' && view.values.size === 0)
    return { ...of, kind: 'never', words: 'Never reported', tone: 'none' };
  if (view.state === 'late' || (old && view.values.size > 0))
    return { ...of, kind: 'late', words: 'Late', tone: 'late' };
  return undefined;
}

/** A clock that is wrong, and that nothing in the registry makes up for. */
function clockOf({ id, condition: { clock } }: SensorView): Finding | undefined {
  if (clock === undefined || clock.is === 'right' || clock.propose === undefined) return undefined;
  const more = clockWords(clock.is, clock.byMs ?? 0);
  const about = { metric: undefined, value: undefined, lastSeen: undefined };
  return { sensor: id, kind: 'clock', words: 'Wrong clock', tone: 'late', ...about, more };
}

/** The findings that count for a field. Sensors that never reported do not count, as long as others have. */
export function countedOf(sensors: readonly (readonly Finding[])[]): Finding[] {
  const all = sensors.flat();
  const heard = all.filter(({ kind }) => kind !== 'never');
  return all.length - heard.length === sensors.length ? all : heard;
}

/** The worst of some tones; `none` without any. */
export function worstOf(tones: Iterable<Tone>): Tone {
  let worst: Tone | undefined;
  for (const tone of tones) if (worst === undefined || RANK[tone] < RANK[worst]) worst = tone;
  return worst ?? 'none';
}

export function byRank(a: Tone, b: Tone): number {
  return RANK[a] - RANK[b];
}
