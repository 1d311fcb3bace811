import { type ReadonlySignal, type Signal, useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Series } from '../../../client/series.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { type Columns, columnsOf } from '../../chart/columns.ts';
import { Plot } from '../../chart/plot.ts';
import { NO_COLUMNS } from '../../chart/plot-content.ts';
import { type ChartRange, fixedRange, stretchOf, verticalSpan } from '../../chart/ranges.ts';
import { locale, now } from '../../state/device.ts';
import type { OpenSeries } from '../../state/history.ts';
import { intervalOf } from '../../state/sensors.ts';
import { dark, shownOf } from '../../state/settings.ts';

export interface ChartProps {
  readonly farm: ApiFarm;
  readonly metric: string;
  readonly range: ChartRange;
  /** The main line with its band, then the lines over it; only lines when `band` is false. */
  readonly band?: boolean;
  readonly series: ReadonlySignal<readonly OpenSeries[]>;
  /** The sensors whose rhythm tells what is a gap, in the same order. */
  readonly sensors: readonly (string | undefined)[];
  /** Where the crosshair is, Unix ms: shared by the charts of a page. */
  readonly cursor: Signal<number | undefined>;
  readonly sync: string;
  readonly onRange: (range: ChartRange) => void;
  /** What the chart shows, in shown units, for screen readers. */
  readonly drawn: Signal<DrawnChart>;
  readonly mark?: ReadonlySignal<number | undefined>;
}

export interface DrawnChart {
  readonly main: Columns;
  readonly others: readonly Columns[];
}

export const NOTHING_DRAWN: DrawnChart = { main: NO_COLUMNS, others: [] };

/** The drawing itself. Its key must change with its metric and with how many lines it has. */
export function ChartCanvas(props: ChartProps) {
  const { farm, metric, series, sensors, cursor, sync, onRange, drawn, mark, band = true } = props;
  const lines = band ? sensors.length - 1 : sensors.length;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | undefined>(undefined);
  const range = useSignal(props.range);
  range.value = props.range;
  const steer = useRef(onRange);
  steer.current = onRange;

  const draw = () => {
    const { of, min, max, unit } = shownOf(metric);
    const at = stretchOf(range.peek(), now.peek());
    const known = series.peek().map((open) => open.series.peek());
    const columns = known.map((one, i) => columnsIn(one, at.from, intervalOf(sensors[i] ?? ''), of));
    const [main = NO_COLUMNS, ...others] = band ? columns : [NO_COLUMNS, ...columns];
    drawn.value = { main, others };
    const normal = { min, max };
    plot.current?.show({
      main,
      others: Array.from({ length: lines }, (_, i) => others[i] ?? NO_COLUMNS),
      ...at,
      span: verticalSpan(extentOf(columns), normal),
      normal,
      unit,
      mark: mark?.peek(),
    });
  };

  useEffect(() => {
    if (host.current === null) return undefined;
    const made = new Plot(host.current, {
      locale,
      zone: farm.timezone,
      others: lines,
      sync,
      onCursor: (ts) => {
        cursor.value = ts;
      },
      onRange: (from, to) => steer.current(fixedRange(from, to)),
    });
    plot.current = made;
    draw();
    return () => made.close();
  }, []);

  // Moving the range once a second is a step of less than a pixel. Values that arrive in between are drawn at once.
  useSignalEffect(() => {
    if ('last' in range.value) now.value;
    mark?.value;
    shownOf(metric);
    for (const open of series.value) open.version.value;
    draw();
  });
  useSignalEffect(() => {
    dark.value;
    plot.current?.repaint();
  });

  return <div class="chart-plot" ref={host} data-testid="chart" data-metric-chart={metric} />;
}

function columnsIn(series: Series | undefined, from: number, interval: number, of: (v: number) => number): Columns {
  if (series === undefined) return NO_COLUMNS;
  series.trim(from);
  return columnsOf(series.buckets, series.bucketMs, interval, of);
}

function extentOf(all: readonly Columns[]): { min: number; max: number } | undefined {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const { min, max } of all) {
    for (const v of min) if (v !== null && v < low) low = v;
    for (const v of max) if (v !== null && v > high) high = v;
  }
  return low > high ? undefined : { min: low, max: high };
}
