import { MAX_AHEAD_MS, type ShownTwice } from '../clock.ts';
import { msOf } from '../instant.ts';
import type { Draft, PayloadContext, Refusals } from './decoded.ts';

/** A draft whose time has one meaning. */
export interface SettledDraft extends Draft {
  readonly at: number | undefined;
}

/**
 * Drafts whose local times have one meaning each. In the night in which clocks go back they show an hour twice. Which
 * of the two is meant is told by the other readings of the payload, where they are in order of time, to or fro, and by
 * the receipt: nothing was measured after it, and what may have been measured just now was. What that does not decide
 * is refused. A device whose own clock does not count is no reason to refuse anything.
 */
export function tellApart(
  drafts: readonly Draft[],
  { received, rules: { clock, zone } }: PayloadContext,
  refusals: Refusals,
): readonly SettledDraft[] {
  if (drafts.every(isSettled)) return drafts;
  // Drafts without a time of their own were measured at the receipt, wherever they stand.
  const told = drafts.flatMap(({ at, values }) => (at === undefined ? [] : [{ at, values }]));
  const newest = clock.by === 'receipt' ? Number.POSITIVE_INFINITY : msOf(received) - clock.offsetMs + MAX_AHEAD_MS;
  const ways = [waysThrough(told, newest), waysThrough(told.toReversed(), newest)?.toReversed()];
  let place = -1;
  return drafts.flatMap((draft): SettledDraft[] => {
    const { at } = draft;
    if (at !== undefined) place += 1;
    if (typeof at !== 'object') return [{ ...draft, at }];
    const { first, second } = at;
    const found = new Set(ways.flatMap((way) => way?.[place] ?? []));
    // In no order at all, only the receipt can tell.
    if (found.size === 0) for (const time of timesOf(at, newest)) found.add(time);
    const [only] = found;
    if (only !== undefined && found.size === 1) return [{ ...draft, at: only }];
    const isBelieved = clock.by === 'device' && (clock.floor === undefined || first + clock.offsetMs >= clock.floor);
    if (!isBelieved) return [{ ...draft, at: first }];
    if (Math.abs(newest - MAX_AHEAD_MS - second) <= MAX_AHEAD_MS) return [{ ...draft, at: second }];
    const hours = `${(second - first) / 3_600_000} h apart`;
    const explanation = `the clocks of ${zone} showed this time twice, ${hours}, and neither the order of the readings nor the receipt tells which is meant; times in UTC or with their offset do`;
    refusals.add('ambiguous_time', draft.path, explanation);
    return [];
  });
}

function isSettled(draft: Draft): draft is SettledDraft {
  return typeof draft.at !== 'object';
}

/** A time that was told, and the values that it is of. */
type ToldTime = { readonly at: number | ShownTwice; readonly values: Draft['values'] };

/**
 * For each of `told`, the earliest and the latest time that it can mean when they are in order of time. Undefined when
 * they cannot be.
 */
function waysThrough(
  told: readonly ToldTime[],
  newest: number,
): (readonly [earliest: number, latest: number])[] | undefined {
  const earliest: number[] = [];
  for (const [i, { at, values }] of told.entries()) {
    const before = earliest[i - 1] ?? Number.NEGATIVE_INFINITY;
    const isApart = measuresTheSame(told[i - 1]?.values, values);
    const time = timesOf(at, newest).find((one) => (isApart ? one > before : one >= before));
    if (time === undefined) return undefined;
    earliest.push(time);
  }
  const ways: [number, number][] = [];
  let after = Number.POSITIVE_INFINITY;
  for (let i = told.length - 1; i >= 0; i--) {
    const { at, values } = told[i] ?? { at: 0, values: {} };
    const isApart = measuresTheSame(told[i + 1]?.values, values);
    const time = timesOf(at, newest).findLast((one) => (isApart ? one < after : one <= after));
    if (time === undefined) return undefined;
    ways.push([earliest[i] ?? time, time]);
    after = time;
  }
  return ways.reverse();
}

/** Whether two readings have a metric in common: they were not measured at one time then. */
function measuresTheSame(one: Draft['values'] | undefined, other: Draft['values']): boolean {
  return one !== undefined && Object.keys(one).some((metric) => Object.hasOwn(other, metric));
}

/** What a time can mean, the earlier first, when it was not measured after `newest`. */
function timesOf(at: number | ShownTwice, newest: number): readonly number[] {
  if (typeof at === 'number') return [at];
  return at.second <= newest ? [at.first, at.second] : [at.first];
}
