const HOUR_MS = 3_600_000;
/** The time over which a trend is measured. */
const WINDOW_MS = 4 * HOUR_MS;
const LEAST_POINTS = 4;
/** Less than this share of the metric's range, or of the day's spread, within the window is no trend. */
const LEAST_SHARE = 0.04;

export type Trend = 'rising' | 'steady' | 'falling';
export const WORDS: Record<Trend, string> = { rising: 'Rising', steady: 'Steady', falling: 'Falling' };

export interface MetricRange {
  readonly min: number | undefined;
  readonly max: number | undefined;
}

/**
 * Which way `points` (time in ms, value) have gone in their last four hours, by the slope of the line that fits them best.
 * Undefined where they are too few.
 */
export function trendOf(points: readonly (readonly [number, number])[], metric: MetricRange): Trend | undefined {
  const end = points.at(-1)?.[0];
  if (end === undefined) return undefined;
  const recent = points.filter(([ts]) => ts > end - WINDOW_MS);
  if (recent.length < LEAST_POINTS) return undefined;
  const meanT = recent.reduce((sum, [ts]) => sum + ts, 0) / recent.length;
  const meanV = recent.reduce((sum, [, v]) => sum + v, 0) / recent.length;
  const over = recent.reduce((sum, [ts, v]) => sum + (ts - meanT) * (v - meanV), 0);
  const under = recent.reduce((sum, [ts]) => sum + (ts - meanT) ** 2, 0);
  const change = under === 0 ? 0 : (over / under) * WINDOW_MS;
  if (Math.abs(change) < LEAST_SHARE * spreadOf(points, metric)) return 'steady';
  return change > 0 ? 'rising' : 'falling';
}

/** What changes of a metric are measured against: its range, else how far `points` lie apart. Above 0. */
export function spreadOf(points: readonly (readonly [number, number])[], { min, max }: MetricRange): number {
  if (min !== undefined && max !== undefined && max > min) return max - min;
  const values = points.map(([, v]) => v);
  const low = Math.min(...values);
  const high = Math.max(...values);
  return Math.max(high - low, Math.abs(high) * 0.05, 1e-9);
}
