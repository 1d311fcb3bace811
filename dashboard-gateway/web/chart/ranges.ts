/** The ranges of time that a chart can show. `points` is how many buckets it asks for at most: 5 s, 2 min and 15 min wide. */
export const RANGES = {
  '1h': { label: '1 h', words: 'last hour', ms: 3_600_000, points: 720 },
  '24h': { label: '24 h', words: 'last 24 hours', ms: 86_400_000, points: 720 },
  '7d': { label: '7 d', words: 'last 7 days', ms: 7 * 86_400_000, points: 672 },
} as const;

export type RangeId = keyof typeof RANGES;
export const RANGE_IDS: readonly RangeId[] = ['1h', '24h', '7d'];

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
