const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The ranges of time that a chart can show, with the width of their buckets: fine enough that each has about a pixel or two. */
export const RANGES = {
  '1h': { label: 'Live', words: 'last hour', ms: HOUR_MS, bucketMs: 5_000 },
  '24h': { label: '24 h', words: 'last 24 hours', ms: DAY_MS, bucketMs: 120_000 },
  '7d': { label: '7 d', words: 'last 7 days', ms: 7 * DAY_MS, bucketMs: 900_000 },
  '30d': { label: '30 d', words: 'last 30 days', ms: 30 * DAY_MS, bucketMs: HOUR_MS },
  '1y': { label: '1 y', words: 'last year', ms: 365 * DAY_MS, bucketMs: 12 * HOUR_MS },
} as const;

export type RangeId = keyof typeof RANGES;
export const RANGE_IDS: readonly RangeId[] = ['1h', '24h', '7d', '30d', '1y'];
export const DEFAULT_RANGE: RangeId = '24h';

/** A stretch that ends now and moves along, or one with fixed ends (Unix ms). */
export type ChartRange = { readonly last: RangeId } | { readonly from: number; readonly to: number };

const FIXED_POINTS = 700;
/** For sensors whose clocks are a little ahead. */
const AHEAD_MS = 60_000;
/** Closer together there is nothing to see. */
export const SHORTEST_MS = 10_000;
const LONGEST_MS = 10 * 365 * DAY_MS;

export interface TimeSpan {
  readonly from: number;
  readonly to: number;
}

/** What is on screen of `range` at `now`, Unix ms. */
export function stretchOf(range: ChartRange, now: number): TimeSpan {
  return 'last' in range ? { from: now - RANGES[range.last].ms, to: now } : range;
}

/** What to ask of the history for `range`: a moving one reaches a little ahead, and two points more are for buckets that its borders cut. */
export function spanOf(range: ChartRange, now: number): TimeSpan & { readonly points: number } {
  if (!('last' in range)) return { ...range, points: FIXED_POINTS };
  const { ms, bucketMs } = RANGES[range.last];
  const at = Math.round(now);
  return { from: at - ms, to: at + AHEAD_MS, points: Math.ceil((ms + AHEAD_MS) / bucketMs) + 2 };
}

/** A range with whole, sensible ends: not shorter than ten seconds, not longer than ten years. */
export function fixedRange(from: number, to: number): ChartRange {
  const ms = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, to - from));
  const middle = (from + to) / 2;
  return { from: Math.round(middle - ms / 2), to: Math.round(middle + ms / 2) };
}

/** `range` moved by `share` of its length (below 0: earlier). Moving a range beyond now makes it follow the clock again. */
export function moved(range: ChartRange, share: number, now: number): ChartRange {
  const { from, to } = stretchOf(range, now);
  const by = (to - from) * share;
  return fixedRange(from + by, to + by);
}

/** `range` made longer (`factor` above 1) or shorter, about its middle; it ends at `now` at the latest. */
export function scaled(range: ChartRange, factor: number, now: number): ChartRange {
  const { from, to } = stretchOf(range, now);
  const half = ((to - from) * factor) / 2;
  const middle = (from + to) / 2;
  const over = Math.max(0, middle + half - Math.max(now, to));
  return fixedRange(middle - half - over, middle + half - over);
}

/**
 * The values that the vertical axis spans: the data with a margin, and never less than half of the metric's own range,
 * so that noise is not blown up into mountains.
 */
export function verticalSpan(
  data: { min: number; max: number } | undefined,
  metric: { min: number | undefined; max: number | undefined },
): readonly [number, number] {
  const normal = metric.min !== undefined && metric.max !== undefined ? ([metric.min, metric.max] as const) : undefined;
  if (data === undefined) return normal ?? [0, 1];
  const least = normal ? (normal[1] - normal[0]) / 2 : Math.max(Math.abs(data.max) * 0.05, 0.1);
  const span = Math.max((data.max - data.min) * 1.2, least);
  const middle = (data.min + data.max) / 2;
  return [middle - span / 2, middle + span / 2];
}
