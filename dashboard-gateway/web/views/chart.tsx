import { useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { advice } from '../api/problem.ts';
import type { Farm, Metric } from '../api/shapes.ts';
import { Plot } from '../chart/plot.ts';
import { RANGES, type RangeId, verticalSpan } from '../chart/ranges.ts';
import type { Columns, Series } from '../chart/series.ts';
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

/** A live chart. Its key must change with what it shows: one Chart is one series. */
export function Chart({ farm, sensor, metric, range }: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | undefined>(undefined);
  const columns = useRef<Columns | undefined>(undefined);
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
    columns.current = series?.columns(intervalOf(sensor));
    plot.current?.show({
      columns: columns.current ?? { ts: [], min: [], max: [], mean: [], alone: [] },
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

  const keys = (event: KeyboardEvent) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (steps === undefined) return;
    event.preventDefault();
    plot.current?.step(steps);
  };
  return (
    <figure class="chart">
      <Readout
        columns={columns.current}
        pointed={pointed.value}
        range={range}
        metric={definition}
        zone={farm.timezone}
      />
      <div
        class="chart-plot"
        ref={host}
        tabIndex={0}
        role="group"
        aria-label={`Chart of ${definition.label}, ${RANGES[range].words}. The arrow keys read its values.`}
        onKeyDown={keys}
      />
      <Summary open={open} metric={definition} range={range} zone={farm.timezone} />
    </figure>
  );
}

interface ReadoutProps {
  readonly columns: Columns | undefined;
  readonly pointed: number | undefined;
  readonly range: RangeId;
  readonly metric: Metric;
  readonly zone: string;
}

/** The value under the pointer, or which one the keys lead to. */
function Readout({ columns, pointed, range, metric, zone }: ReadoutProps) {
  const ts = pointed === undefined ? undefined : columns?.ts[pointed];
  const mean = pointed === undefined ? undefined : columns?.mean[pointed];
  if (pointed === undefined || ts === undefined || mean === undefined || mean === null) {
    return <p class="readout quiet">Point at the line to read it.</p>;
  }
  const min = columns?.min[pointed] ?? mean;
  const max = columns?.max[pointed] ?? mean;
  const spread = min === max ? '' : `, ${text(min, metric)} to ${text(max, metric)}`;
  return (
    <p class="readout" aria-live="polite">
      <b>
        {text(mean, metric)} {metric.unit}
      </b>
      {spread} at {formatInstant(ts, RANGES[range].ms, locale, zone)}
    </p>
  );
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
      <Number label="Lowest" value={extent.min} metric={metric} />
      <Number label="Highest" value={extent.max} metric={metric} />
      <Number label="Last" value={extent.last} metric={metric} />
    </dl>
  );
}

function Number({ label, value, metric }: { label: string; value: number; metric: Metric }) {
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
