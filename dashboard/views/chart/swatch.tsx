import { MARK, strokeOf } from '../../chart/strokes.ts';

const WIDTH = 40;
const HEIGHT = 14;

/** A piece of line `i` (counted from 0) as the chart draws it: its colour, its dashes and its mark. */
export function LineSwatch({ i }: { i: number }) {
  const { dash, mark } = strokeOf(i);
  const [x, y] = [WIDTH / 2, HEIGHT / 2];
  return (
    <svg class={`line-swatch swatch-${i + 1}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <path class="line-swatch-line" d={`M0 ${y}H${WIDTH}`} stroke-dasharray={dash.join(' ')} />
      <polygon points={mark.map(([right, down]) => `${x + right * MARK},${y + down * MARK}`).join(' ')} />
    </svg>
  );
}
