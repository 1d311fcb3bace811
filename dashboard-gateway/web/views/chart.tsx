import { type ReadonlySignal, useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { Series } from '../../client/series.ts';
import { advice } from '../api/problem.ts';
import type { Farm, Metric } from '../api/shapes.ts';
import { type Columns, columnsOf } from '../chart/columns.ts';
import { Plot } from '../chart/plot.ts';
import { RANGES, type RangeId, verticalSpan } from '../chart/ranges.ts';
import { formatInstant } from '../format/time.ts';
import { formatValue } from '../format/value.ts';
import { dark, locale, now } from '../state/device.ts';
import { metricOf } from '../state/farms.ts';
import { type OpenSeries, openSeries } from '../state/history.ts';
import { intervalOf } from '../state/sensors.ts';

interface ChartProps {
  readonly farm: Farm;
  readonly sensor: string;
  readonly metric: string;
  readonly range: RangeId;
}

const NOTHING: Columns = { ts: [], min: [], max: [], mean: [], alone: [], late: [] };

/** A live chart. Its key must change with what it shows: one Chart is one series. */
export function Chart({ farm, sensor, metric, range }: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | undefined>(undefined);
  const columns = useSignal<Columns>(NOTHING);
  const pointed = useSignal<number | undefined>(undefined);
  const open = useMemo(() => openSeries({ farm: farm.id, sensor, metric, range }), []);
  const definition = metricOf(metric);
  const { ms } = RANGES[range];

  useEffect(() => {
    if (host.current === null) return undefined;
    const made = new Plot(host.current, {
      locale,
      zone: farm.timezone,
      decimals: definition.decimals,
      onCursor: (index) => {
        pointed.value = index;
      },
    });
    plot.current = made;
    draw();
    return () => {
      made.close();
      open.close();
    };
  }, []);

  const draw = () => {
    const series = open.series.peek();
    const to = now.peek();
    series?.trim(to - ms);
    columns.value = series ? columnsOf(series.buckets, series.bucketMs, intervalOf(sensor)) : NOTHING;
    plot.current?.show({
      columns: columns.peek(),
      from: to - ms,
      to,
      span: verticalSpan(series?.extent(), definition),
      normal: definition,
    });
  };
  // Once a second is a step of less than a pixel; what arrives in between is drawn at once.
  useSignalEffect(() => {
    now.value;
    open.version.value;
    draw();
  });
  useSignalEffect(() => {
    dark.value;
    plot.current?.repaint();
  });

  const reading = { columns, pointed, range, metric: definition, zone: farm.timezone };
  return (
    <figure class="chart">
      <Readout {...reading} />
      <div class="chart-plot" ref={host} data-testid="chart" />
      <Scrubber {...reading} point={(index, direction) => plot.current?.point(index, direction)} />
      <Summary open={open} metric={definition} range={range} zone={farm.timezone} />
    </figure>
  );
}

interface ReadoutProps {
  readonly columns: ReadonlySignal<Columns>;
  /** The place in `columns` that is pointed at. */
  readonly pointed: ReadonlySignal<number | undefined>;
  readonly range: RangeId;
  readonly metric: Metric;
  readonly zone: string;
}

/** The value under the pointer, or where the keys led. */
function Readout(props: ReadoutProps) {
  const found = valueAt(props, props.pointed.value);
  if (found === undefined) return <p class="readout quiet">Touch or point to read a value.</p>;
  return (
    <p class="readout">
      <b>{found.value}</b>
      {found.spread}, {found.when}
    </p>
  );
}

/** Reads the chart by keyboard: one step is one value. Seen only through the frame that it draws around the chart. */
function Scrubber({ point, ...props }: ReadoutProps & { point: (index: number, direction: number) => void }) {
  const { columns, pointed, metric, range } = props;
  const newest = columns.value.ts.length - 1;
  if (newest < 0) return null;
  const at = pointed.value ?? newest;
  const found = valueAt(props, at);
  const move = (event: Event) => {
    if (!(event.currentTarget instanceof HTMLInputElement)) return;
    const index = event.currentTarget.valueAsNumber;
    point(index, index < at ? -1 : 1);
  };
  return (
    <input
      class="hidden"
      type="range"
      aria-label={`${metric.label}, ${RANGES[range].words}`}
      aria-valuetext={found && `${found.value}, ${found.when}`}
      min={0}
      max={newest}
      value={at}
      onInput={move}
    />
  );
}

function valueAt({ columns, range, metric, zone }: ReadoutProps, place: number | undefined) {
  if (place === undefined) return undefined;
  const shown = columns.value;
  const ts = shown.ts[place];
  const mean = shown.mean[place];
  if (ts === undefined || mean === undefined || mean === null) return undefined;
  const min = text(shown.min[place] ?? mean, metric);
  const max = text(shown.max[place] ?? mean, metric);
  return {
    value: `${text(mean, metric)} ${metric.unit}`,
    spread: min === max ? '' : `, ${min} to ${max}`,
    when: formatInstant(ts, RANGES[range].ms, locale, zone),
  };
}

interface SummaryProps {
  readonly open: OpenSeries;
  readonly metric: Metric;
  readonly range: RangeId;
  readonly zone: string;
}

/** The chart in words, for who cannot see it and for who wants the numbers. */
function Summary({ open, metric, range, zone }: SummaryProps) {
  open.version.value;
  const trouble = open.problem.value;
  return (
    <figcaption class="summary">
      {trouble && (
        <p class="form-failure" role="alert">
          {advice(trouble.problem)}
          {trouble.again && ' Trying again by itself.'}
        </p>
      )}
      <Extent series={open.series.value} loading={trouble === undefined} metric={metric} range={range} />
      <p class="quiet">Times in {zone.replaceAll('_', ' ')}.</p>
    </figcaption>
  );
}

interface ExtentProps {
  readonly series: Series | undefined;
  readonly loading: boolean;
  readonly metric: Metric;
  readonly range: RangeId;
}

function Extent({ series, loading, metric, range }: ExtentProps) {
  const extent = series?.extent();
  const words = RANGES[range].words;
  if (series === undefined) return loading ? <p class="quiet">Reading the {words} …</p> : null;
  if (extent === undefined) return <p>No values in the {words}.</p>;
  return (
    <dl class="extent" aria-label={`${metric.label}, ${words}`}>
      <Figure label="Lowest" value={extent.min} metric={metric} />
      <Figure label="Highest" value={extent.max} metric={metric} />
      <Figure label="Last" value={extent.last} metric={metric} />
    </dl>
  );
}

function Figure({ label, value, metric }: { label: string; value: number; metric: Metric }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        {text(value, metric)} {metric.unit}
      </dd>
    </div>
  );
}

function text(value: number, metric: Metric): string {
  return formatValue(value, metric.decimals, locale);
}
