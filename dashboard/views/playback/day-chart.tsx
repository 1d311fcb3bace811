import { type Signal, useSignal } from '@preact/signals';
import type { ApiFarm } from '../../api/shapes.ts';
import { OTHERS } from '../../chart/palette.ts';
import type { ChartRange } from '../../chart/ranges.ts';
import { metricOf } from '../../state/farms.ts';
import { fields } from '../../state/fields.ts';
import { ChartCanvas, type DrawnChart, NOTHING_DRAWN } from '../chart/chart.tsx';
import { LineSwatch } from '../chart/swatch.tsx';
import { useSeries } from '../chart/use-series.ts';
import { rangeText } from '../common/value.tsx';

interface DayChartProps {
  readonly farm: ApiFarm;
  readonly metric: string;
  readonly from: number;
  readonly to: number;
  /** The fields that measured it, by id. Its key must change with them. */
  readonly of: readonly string[];
  /** The moment that is played, drawn as a line; choosing a place in the chart goes there. */
  readonly at: Signal<number>;
}

/** The mean of each field over the day. */
export function DayChart({ farm, metric, from, to, at, of }: DayChartProps) {
  const cursor = useSignal<number | undefined>(undefined);
  const drawn = useSignal<DrawnChart>(NOTHING_DRAWN);
  const measuring = fields
    .peek()
    .filter((f) => of.includes(f.id))
    .slice(0, OTHERS);
  const range: ChartRange = { from, to };
  const series = useSeries(measuring.map((f) => ({ farm: farm.id, field: f.id, metric, range })));
  const goThere = (next: ChartRange) => {
    if (!('last' in next)) at.value = Math.min(to, Math.max(from, (next.from + next.to) / 2));
  };
  const good = rangeText(metric);
  const click = () => {
    if (cursor.peek() !== undefined) at.value = cursor.peek() ?? from;
  };
  return (
    <figure class="chart day-chart">
      <figcaption class="chart-head">
        <h3>{metricOf(metric).label}, mean of each field</h3>
        {good && (
          <span class="chart-range">
            <i class="swatch swatch-normal" /> all is well {good}
          </span>
        )}
      </figcaption>
      {/* The slider above does the same by keyboard. */}
      <div onPointerUp={click}>
        <ChartCanvas
          {...{ farm, metric, range, series, cursor, drawn }}
          band={false}
          sensors={measuring.map((f) => f.sensors[0])}
          sync={`playback ${farm.id}`}
          onRange={goThere}
          mark={at}
        />
      </div>
      <ul class="legend">
        {measuring.map((f, i) => (
          <li key={f.id}>
            <LineSwatch i={i} /> {f.name}
          </li>
        ))}
      </ul>
    </figure>
  );
}
