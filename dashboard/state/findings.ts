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

/** A device's time further ahead of its receipt is refused, ms: its readings are set aside as dead letters. */
const SET_ASIDE_MS = 5 * 60_000;

/** A value past this many intervals is old. The gateway calls a sensor late by the same measure. */
export const OLD_AFTER = 2;

const RANK: Record<Tone, number> = {
  ...{ dry: 0, hot: 0, low: 0, wet: 1, cold: 1, high: 1 },
  ...{ offline: 2, late: 3, none: 4, fine: 5 },
};

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

/** Whether a value measured at `ts` (Unix ms) says how it is now: neither too old, nor dated ahead by a wrong clock. */
export function isFresh(ts: number, now: number, intervalMs: number): boolean {
  return now - ts <= OLD_AFTER * intervalMs && isOfNow(ts, now);
}

/** Whether a value measured at `ts` (Unix ms) is not dated ahead by a clock that was wrong. */
export function isOfNow(ts: number, now: number): boolean {
  return ts - now <= SET_ASIDE_MS;
}

/** What is wrong with a sensor, worst first. An old value says nothing about now: then only the silence is wrong. */
export function findingsOf({ view, intervalMs, bridge, now, metricOf, refusal }: Judging): Finding[] {
  const refused = refusedSince({ view, refusal, bridge, now });
  // A bridge passes on what others measured and has nothing to say itself.
  if (bridge && view.values.size === 0) return refused ? [refusedFinding(view, refused)] : [];
  const found: Finding[] = [];
  let old = true;
  for (const [metric, [ts, value]] of view.values) {
    if (!isFresh(ts, now, intervalMs)) continue;
    old = false;
    const level = levelOf(value, metricOf(metric));
    if (level === 'ok') continue;
    const { words, tone } = wordingOf(metric, level);
    found.push({ sensor: view.id, kind: level, words, tone, metric, value, lastSeen: undefined });
  }
  const clock = clockOf(view, old);
  if (clock) found.push(clock);
  // A refusal says why it is silent; and whose clock is wrong is heard, though none of its values is of now.
  const isHeard = clock !== undefined && view.state === 'online';
  const silence = refused ? refusedFinding(view, refused) : isHeard ? undefined : silenceOf(view, old);
  if (silence) found.push(silence);
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
  if (view.state === 'never' && view.values.size === 0 && view.condition.clock === undefined)
    return { ...of, kind: 'never', words: 'Never reported', tone: 'none' };
  if (view.state === 'late' || (old && view.values.size > 0))
    return { ...of, kind: 'late', words: 'Late', tone: 'late' };
  return undefined;
}

/**
 * What is wrong with a sensor's clock, in words; undefined when nothing is, or when the registry makes up for it. Without
 * a fresh value (`old`) it counts also before it is known what would set it right.
 */
export function wrongClock({ condition: { clock } }: SensorView, old: boolean): string | undefined {
  if (clock === undefined || clock.is === 'right') return undefined;
  const { is, byMs = 0, propose } = clock;
  if (propose === undefined && !old) return undefined;
  return `${clockWords(is, byMs)}${is === 'ahead' && byMs > SET_ASIDE_MS ? ': its readings are set aside' : ''}`;
}

/** A clock that is wrong, and that nothing in the registry makes up for. */
function clockOf(view: SensorView, old: boolean): Finding | undefined {
  const { id } = view;
  const more = wrongClock(view, old);
  if (more === undefined) return undefined;
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
