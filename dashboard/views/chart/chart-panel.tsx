import { type ReadonlySignal, type Signal, useSignal } from '@preact/signals';
import { advice } from '../../api/problem.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { placeAt } from '../../chart/columns.ts';
import { type ChartRange, RANGES, stretchOf } from '../../chart/ranges.ts';
import { formatInstant, formatSpan } from '../../format/time.ts';
import { formatValue } from '../../format/value.ts';
import { locale, now } from '../../state/device.ts';
import { metricOf } from '../../state/farms.ts';
import { fields } from '../../state/fields.ts';
import { isOfNow } from '../../state/findings.ts';
import type { HistorySubject, OpenSeries } from '../../state/history.ts';
import { shownOf } from '../../state/settings.ts';
import { rangeText } from '../common/value.tsx';
import { ChartCanvas, type DrawnChart, NOTHING_DRAWN } from './chart.tsx';
import { LineSwatch } from './swatch.tsx';
import { useSeries } from './use-series.ts';

interface ChartPanelProps {
  readonly farm: ApiFarm;
  readonly metric: string;
  readonly range: ChartRange;
  readonly main: { readonly sensor: string } | { readonly field: string };
  /** Sensors drawn over the main line, with their names. */
  readonly others?: readonly { readonly sensor: string; readonly name: string }[];
  readonly cursor: Signal<number | undefined>;
  readonly sync: string;
  readonly onRange: (range: ChartRange) => void;
  /** What the main line is called where others are drawn over it. */
  readonly mainName?: string;
}

/** A metric's chart with its name, the value under the crosshair, and the whole in words. */
export function ChartPanel(props: ChartPanelProps) {
  const { farm, metric, range, main, others = [], cursor, sync, onRange, mainName } = props;
  const subjects: HistorySubject[] = [
    { farm: farm.id, metric, range, ...main },
    ...others.map(({ sensor }) => ({ farm: farm.id, metric, range, sensor })),
  ];
  const series = useSeries(subjects);
  const drawn = useSignal<DrawnChart>(NOTHING_DRAWN);
  const definition = metricOf(metric);
  const good = rangeText(metric);
  const rhythm = 'sensor' in main ? main.sensor : fields.value.find((f) => f.id === main.field)?.sensors[0];
  const sensors = [rhythm, ...others.map((o) => o.sensor)];
  return (
    <figure class="chart" data-chart={metric}>
      <figcaption class="chart-head">
        <h3>{definition.label}</h3>
        {good && (
          <span class="chart-range">
            <i class="swatch swatch-normal" /> all is well {good}
          </span>
        )}
        <Readout drawn={drawn} cursor={cursor} metric={metric} range={range} zone={farm.timezone} />
      </figcaption>
      <ChartCanvas
        key={`${metric} ${sensors.join(' ')}`}
        {...{ farm, metric, range, series, sensors, cursor, sync, onRange, drawn }}
      />
      {mainName !== undefined && <Legend {...{ drawn, cursor, metric, mainName, others }} />}
      <Scrubber {...{ drawn, cursor, metric, range }} zone={farm.timezone} />
      <Trouble series={series} />
      <Summary {...{ drawn, series, metric, range }} zone={farm.timezone} />
    </figure>
  );
}

interface OfChart {
  readonly drawn: ReadonlySignal<DrawnChart>;
  readonly cursor: Signal<number | undefined>;
  readonly metric: string;
}

interface InTime {
  readonly range: ChartRange;
  readonly zone: string;
}

/** The value under the crosshair. */
function Readout({ drawn, cursor, metric, range, zone }: OfChart & InTime) {
  const at = cursor.value;
  const found = at === undefined ? undefined : valueAt(drawn.value, at, metric);
  if (found === undefined) return <p class="readout" />;
  const frame = frameOf(range);
  return (
    <p class="readout">
      <b>{found.value}</b>
      {found.spread && <span class="quiet"> {found.spread}</span>}
      <span class="quiet"> {formatInstant(found.ts, frame, locale, zone)}</span>
      {found.lateAt !== undefined && (
        <span class="quiet">, arrived {formatInstant(found.lateAt, frame, locale, zone)}</span>
      )}
    </p>
  );
}

/** What a moment in the chart is told by: how long the chart is, and what is today. */
function frameOf(range: ChartRange) {
  const { from, to } = stretchOf(range, now.peek());
  return { rangeMs: to - from, now: now.peek() };
}

function valueAt({ main }: DrawnChart, ts: number, metric: string) {
  const place = placeAt(main, ts);
  const mean = place === undefined ? undefined : main.mean[place];
  if (place === undefined || mean === undefined || mean === null) return undefined;
  const min = number(main.min[place] ?? mean, metric);
  const max = number(main.max[place] ?? mean, metric);
  return {
    value: `${number(mean, metric)} ${shownOf(metric).unit}`,
    spread: min === max ? '' : `${min} to ${max}`,
    ts: main.ts[place] ?? ts,
    lateAt: main.late.get(place),
  };
}

/** Which line is whose, and each one's value under the crosshair. */
function Legend({ drawn, cursor, metric, mainName, others }: OfChart & Pick<ChartPanelProps, 'others' | 'mainName'>) {
  const at = cursor.value;
  const valueIn = (columns: DrawnChart['main'] | undefined) => {
    if (at === undefined || columns === undefined) return '';
    const place = placeAt(columns, at);
    const mean = place === undefined ? undefined : columns.mean[place];
    return typeof mean === 'number' ? `${number(mean, metric)} ${shownOf(metric).unit}` : '';
  };
  return (
    <ul class="legend">
      <li>
        <i class="swatch swatch-main" /> {mainName} <b>{valueIn(drawn.value.main)}</b>
      </li>
      {others?.map(({ sensor, name }, i) => (
        <li key={sensor}>
          <LineSwatch i={i} /> {name} <b>{valueIn(drawn.value.others[i])}</b>
        </li>
      ))}
    </ul>
  );
}

/** Reads the chart by keyboard: one step is one value. Seen only through the frame that it draws around the chart. */
function Scrubber({ drawn, cursor, metric, range, zone }: OfChart & InTime) {
  const { main } = drawn.value;
  const newest = main.ts.length - 1;
  if (newest < 0) return null;
  const at = cursor.value === undefined ? newest : (placeAt(main, cursor.value) ?? newest);
  const ts = main.ts[at] ?? 0;
  const found = valueAt(drawn.value, ts, metric);
  const move = (event: Event) => {
    if (!(event.currentTarget instanceof HTMLInputElement)) return;
    const wanted = event.currentTarget.valueAsNumber;
    const step = wanted < at ? -1 : 1;
    let place = wanted;
    while (main.mean[place] === null) place += step;
    cursor.value = main.ts[place];
  };
  return (
    <input
      class="hidden scrubber"
      type="range"
      aria-label={`${metricOf(metric).label}, ${inWords(range, zone)}`}
      aria-valuetext={found && `${found.value}, ${formatInstant(found.ts, frameOf(range), locale, zone)}`}
      min={0}
      max={newest}
      value={at}
      onInput={move}
    />
  );
}

function Trouble({ series }: { series: ReadonlySignal<readonly OpenSeries[]> }) {
  const found = series.value.map((open) => open.problem.value).find((problem) => problem !== undefined);
  if (found === undefined) return null;
  return (
    <p class="form-failure" role="alert">
      {advice(found.problem)}
      {found.again && ' Trying again by itself.'}
    </p>
  );
}

interface SummaryProps extends InTime {
  readonly drawn: ReadonlySignal<DrawnChart>;
  readonly series: ReadonlySignal<readonly OpenSeries[]>;
  readonly metric: string;
}

/** The chart in words, for people who cannot see it or who want the numbers. */
function Summary({ drawn, series, metric, range, zone }: SummaryProps) {
  const { ts, min, max, mean, late } = drawn.value.main;
  const loading = series.value.every((open) => open.version.value === 0);
  const low = min.reduce<number | null>((a, b) => (b !== null && (a === null || b < a) ? b : a), null);
  const high = max.reduce<number | null>((a, b) => (b !== null && (a === null || b > a) ? b : a), null);
  // A range may reach into the time to come, where a wrong clock left values: none of them is the last.
  const last = mean.findLast((v, i) => v !== null && isOfNow(ts[i] ?? 0, now.peek()));
  if (low === null || high === null || typeof last !== 'number') {
    return <p class="quiet">{loading ? 'Reading …' : `No values, ${inWords(range, zone)}.`}</p>;
  }
  const { unit } = shownOf(metric);
  return (
    <p class="chart-words quiet">
      Lowest {number(low, metric)}, highest {number(high, metric)}, last {number(last, metric)} {unit}
      {late.size > 0 && (
        <span class="late-note">
          <i class="swatch swatch-late" /> arrived late
        </span>
      )}
    </p>
  );
}

function inWords(range: ChartRange, zone: string): string {
  return 'last' in range ? RANGES[range.last].words : formatSpan(range.from, range.to, locale, zone);
}

function number(value: number, metric: string): string {
  return formatValue(value, shownOf(metric).decimals, locale);
}
