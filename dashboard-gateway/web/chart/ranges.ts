/** The ranges of time that a chart can show, with the width of their buckets: fine enough that each has about a pixel or two. */
export const RANGES = {
  '1h': { label: '1 h', words: 'last hour', ms: 3_600_000, bucketMs: 5_000 },
  '24h': { label: '24 h', words: 'last 24 hours', ms: 86_400_000, bucketMs: 120_000 },
  '7d': { label: '7 d', words: 'last 7 days', ms: 7 * 86_400_000, bucketMs: 900_000 },
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
