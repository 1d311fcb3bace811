import { type MetricRange, spreadOf } from './trend.ts';

/** The drawing's size, in its own units. */
export const LINE = { width: 100, height: 28 } as const;
const EDGE = 2;
/** How wide a value is that stands alone. */
const ALONE = 3;
/**
 * The least range of values that the height stands for, as a share of what trends are measured against: a value that
 * hardly changes must look so.
 */
const LEAST_SHARE = 0.25;
/** Two values that are further apart than this share of the time have a hole between them. */
const HOLE_SHARE = 1 / 16;

/**
 * An SVG path through `points` (time in ms, value), drawn over the time between `from` and `to`, ms. Values fill the
 * height, but where they change by little of the metric's range they lie in its middle. A value that stands alone is a
 * dash. Empty without points.
 */
export function sparkPath(
  points: readonly (readonly [number, number])[],
  { from, to }: { readonly from: number; readonly to: number },
  metric: MetricRange,
): string {
  const values = points.map(([, value]) => value);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const span = Math.max(high - low, LEAST_SHARE * spreadOf(points, metric));
  const bottom = (low + high - span) / 2;
  const hole = HOLE_SHARE * (to - from);
  let before = Number.NEGATIVE_INFINITY;
  return points
    .map(([ts, value], i) => {
      // A first bucket may begin before the time that is drawn.
      const x = Math.max(0, (ts - from) / (to - from)) * LINE.width;
      const y = LINE.height - EDGE - ((value - bottom) / span) * (LINE.height - 2 * EDGE);
      const begins = ts - before > hole;
      const ends = (points[i + 1]?.[0] ?? Number.POSITIVE_INFINITY) - ts > hole;
      before = ts;
      if (!begins || !ends) return `${begins ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
      // No line goes through a value that stands alone: it is a dash.
      return `M${Math.min(Math.max(0, x - ALONE / 2), LINE.width - ALONE).toFixed(1)} ${y.toFixed(1)}h${ALONE}`;
    })
    .join('');
}
