import { CLOCK_FLOOR, type ClockPolicy } from '../../../telemetry/clock.ts';
import type { ClockState } from '../../../telemetry/clock-words.ts';
import type { ClockSample } from './clock-samples.ts';

/** A clock that is wrong by less is right, ms. A steady one differs from itself by no more. */
const RIGHT_MS = 60_000;
/** A jump back that is smaller is a message that was sent again, ms. */
const JUMP_MS = 1_000;
/** So many receipts show that a clock is wrong by a constant. */
const STEADY = 3;
/** So many show that readings are not kept back but told late: behind is what both are. They are of this time at least, ms. */
const STEADY_BEHIND = 4;
const LONG_ENOUGH_MS = 2_000;
/** How much faster or slower than time itself a clock may seem to go in it. */
const PACE_MS = 500;
const PACE = 0.1;
/** So many receipts show that a clock wanders. */
const WANDERING = 6;
/** Its error changes by at most so many times the time that passes. What was kept back comes much faster. */
const WANDERED_AT_MOST = 5;

/**
 * What is known of a sensor's clock.
 *
 * - `right`: wrong by less than a minute, after what the registry corrects.
 * - `ahead`, `behind`: by `byMs`.
 * - `jumps-back`: it told times before those that it had told already, as clocks do that start again at each power-on.
 * - `wanders`: its error, lately `byMs`, is another one each time.
 *
 * `propose` is the clock policy that would set it right.
 */
export type ClockFinding =
  | { readonly is: 'right'; readonly aheadMs: number }
  | {
      readonly is: Exclude<ClockState, 'right'>;
      readonly byMs: number;
      readonly propose?: ClockPolicy;
    };

/** What the registry says of a sensor's clock. */
export interface ClockSaid {
  /** The sensor's own policy, and the one of its farm. */
  readonly own?: ClockPolicy | undefined;
  readonly farm?: ClockPolicy | undefined;
  readonly floor?: string | undefined;
}

/** A sample by the registry of now. */
interface Look {
  readonly at: number;
  /** What the device told, Unix ms. */
  readonly told: number;
  readonly aheadMs: number;
  /** What is left of that after the correction. */
  readonly leftMs: number;
  readonly believed: boolean;
}

/** What samples, oldest first, say of a clock; undefined when they do not tell. */
export function findClock(samples: readonly ClockSample[], said: ClockSaid): ClockFinding | undefined {
  const looks = samples.map((sample) => lookAt(sample, said));
  const found = ofUnbelieved(looks) ?? ofBelieved(looks);
  // Whose receipts count already needs no correction.
  if (found === undefined || found.is === 'right' || (said.own ?? said.farm) !== 'receipt') return found;
  return { is: found.is, byMs: found.byMs };
}

function lookAt({ at, aheadMs, correctedMs }: ClockSample, { own, floor }: ClockSaid): Look {
  const leftMs = aheadMs + (typeof own === 'object' ? own.offset * 1000 : own === undefined ? (correctedMs ?? 0) : 0);
  const least = floor === undefined ? CLOCK_FLOOR : Date.parse(floor);
  const believed = correctedMs !== undefined || at + leftMs >= least;
  return { at, told: at + aheadMs, aheadMs, leftMs, believed };
}

/** What is said by times below the floor, which no reading was kept back from. */
function ofUnbelieved(looks: readonly Look[]): ClockFinding | undefined {
  const newest = looks.at(-1);
  const unbelieved = looks.filter(({ believed }) => !believed);
  const worst = unbelieved.at(-1);
  if (newest === undefined || worst === undefined) return undefined;
  const byMs = Math.abs(worst.leftMs);
  // It was set since: nothing is left to correct.
  if (newest.believed) return { is: 'jumps-back', byMs };
  const jumps = unbelieved.some(({ told }, i) => told < (unbelieved[i - 1]?.told ?? told) - JUMP_MS);
  const is = jumps || unbelieved.length < looks.length ? 'jumps-back' : 'behind';
  return { is, byMs, propose: 'receipt' };
}

function ofBelieved(looks: readonly Look[]): ClockFinding | undefined {
  const run = steadyBehind(looks);
  if (run) return ofLate(run, looks.slice(0, looks.length - run.length));
  const recent = looks.slice(-WANDERING);
  const latest = recent.slice(-STEADY);
  const wasSet = latest.length === STEADY && latest.every(({ leftMs }) => leftMs <= RIGHT_MS);
  const counted = wasSet ? recent.filter(({ leftMs }) => leftMs <= RIGHT_MS) : recent;
  const mostMs = counted.reduce((most, { leftMs }) => Math.max(most, leftMs), Number.NEGATIVE_INFINITY);
  if (mostMs > RIGHT_MS) return ofAhead(recent, mostMs);
  if (mostMs >= -RIGHT_MS) return { is: 'right', aheadMs: mostMs };
  return wanders(recent)
    ? { is: 'wanders', byMs: Math.abs(recent.at(-1)?.leftMs ?? 0), propose: 'receipt' }
    : undefined;
}

/** A time to come is told by a wrong clock only; one of the past may have been kept back. */
function ofAhead(recent: readonly Look[], byMs: number): ClockFinding {
  const ahead = recent.filter(({ leftMs }) => leftMs > RIGHT_MS);
  const alike = ahead.filter(({ leftMs }) => byMs - leftMs <= RIGHT_MS);
  if (ahead.length < STEADY) return { is: 'ahead', byMs };
  if (alike.length < Math.max(STEADY, ahead.length / 2)) return { is: 'wanders', byMs, propose: 'receipt' };
  return { is: 'ahead', byMs: medianOf(alike.map(({ leftMs }) => leftMs)), propose: against(alike) };
}

/** The longest end of `looks` that tells times of the past as a clock does: at the pace of time itself. */
function steadyBehind(looks: readonly Look[]): readonly Look[] | undefined {
  const last = looks.at(-1);
  if (last === undefined) return undefined;
  let begin = looks.length;
  while (begin > 0) {
    const { leftMs = 0 } = looks[begin - 1] ?? {};
    if (leftMs >= -RIGHT_MS || Math.abs(leftMs - last.leftMs) > RIGHT_MS) break;
    begin -= 1;
  }
  const run = looks.slice(begin);
  const [first] = run;
  if (first === undefined || run.length < STEADY_BEHIND) return undefined;
  const passed = last.at - first.at;
  const isPaced = Math.abs(last.told - first.told - passed) <= PACE_MS + PACE * passed;
  return passed >= LONG_ENOUGH_MS && isPaced ? run : undefined;
}

function ofLate(run: readonly Look[], before: readonly Look[]): ClockFinding | undefined {
  const byMs = -medianOf(run.map(({ leftMs }) => leftMs));
  const told = before.reduce((most, one) => Math.max(most, one.told), Number.NEGATIVE_INFINITY);
  if ((run[0]?.told ?? 0) < told - RIGHT_MS) return { is: 'jumps-back', byMs, propose: 'receipt' };
  // It was right a moment ago and told no earlier time since: it stores what it measures, and sends that late.
  if (before.some(({ leftMs }) => leftMs > RIGHT_MS - byMs)) return undefined;
  return { is: 'behind', byMs, propose: against(run) };
}

/** Whether errors that all are behind differ, and not because readings that were kept back come one after the other. */
function wanders(recent: readonly Look[]): boolean {
  const lefts = recent.map(({ leftMs }) => leftMs);
  const spread = Math.max(...lefts) - Math.min(...lefts);
  const passed = (recent.at(-1)?.at ?? 0) - (recent[0]?.at ?? 0);
  return recent.length >= WANDERING && spread > RIGHT_MS && spread <= WANDERED_AT_MOST * passed;
}

/** The offset that makes up for what these tell. */
function against(looks: readonly Look[]): ClockPolicy {
  return { offset: -Math.round(medianOf(looks.map(({ aheadMs }) => aheadMs)) / 1000) };
}

function medianOf(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
