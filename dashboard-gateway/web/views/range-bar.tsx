import { levelOf } from '../format/value.ts';
import { metricOf } from '../state/farms.ts';

const WIDTH = 200;

/** Where a value lies: the middle half of the bar is the metric's range. The number and the words beside it say the same. */
export function RangeBar({ metric, value }: { metric: string; value: number }) {
  const definition = metricOf(metric);
  const { min, max } = definition;
  if (min === undefined || max === undefined || max <= min) return null;
  const share = 0.25 + (0.5 * (value - min)) / (max - min);
  const x = Math.max(0.02, Math.min(0.98, share)) * WIDTH;
  return (
    <svg class="range-bar" viewBox={`0 0 ${WIDTH} 10`} preserveAspectRatio="none" aria-hidden="true">
      <rect class="range-all" y="3" width={WIDTH} height="4" rx="2" />
      <rect class="range-normal" x={WIDTH / 4} y="3" width={WIDTH / 2} height="4" />
      <rect class={`range-mark range-${levelOf(value, definition)}`} x={x - 2} width="4" height="10" rx="1.5" />
    </svg>
  );
}
