import { useEffect, useRef } from 'preact/hooks';
import type { SensorView } from '../../client/latest.ts';
import type { Farm } from '../api/shapes.ts';
import { RANGE_IDS, RANGES, type RangeId } from '../chart/ranges.ts';
import { formatDuration } from '../format/age.ts';
import { locale, wide } from '../state/device.ts';
import { inOrder, metricOf } from '../state/farms.ts';
import { go, route } from '../state/router.ts';
import { metricToShow, type Selection } from '../state/selection.ts';
import { listed, sensors } from '../state/sensors.ts';
import { Chart } from './chart.tsx';
import { Notice } from './notice.tsx';
import { StateMark } from './state-mark.tsx';

/** A clock that is wrong by more than this is worth a word. */
const SKEW_MS = 60_000;

/** One sensor's chart, with what can be chosen of it. */
export function SensorPanel({ farm, sensor, metric: asked, range }: Selection & { farm: Farm }) {
  const panel = useRef<HTMLElement>(null);
  const chosen = route.value.page === 'sensor';
  // On a phone the chart opens above the list, where the tap on a card further down would not show it.
  useEffect(() => {
    if (chosen && !wide.peek()) panel.current?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);

  const view = sensors.value.get(sensor)?.value;
  if (view === undefined) {
    if (!listed.value) return null;
    return (
      <Notice title={`There is no sensor “${sensor}”`}>
        <p>
          It may have been removed. <a href={`/farms/${farm.id}`}>All sensors of {farm.name}</a>
        </p>
      </Notice>
    );
  }
  const metric = metricToShow(view, asked);
  const show = (change: { metric?: string; range?: RangeId }) =>
    go({ page: 'sensor', farm: farm.id, sensor, metric, range, ...change }, 'replace');
  return (
    <section class="panel" aria-labelledby="panel-title" ref={panel}>
      <header class="panel-head">
        <div class="panel-title">
          <h2 id="panel-title">{view.name}</h2>
          <StateMark view={view} detailed />
        </div>
        {chosen && !wide.value && (
          <button type="button" onClick={() => go({ page: 'farm', farm: farm.id })}>
            Close
          </button>
        )}
      </header>
      <Remarks view={view} />
      <div class="choices">
        <Metrics view={view} metric={metric} choose={(m) => show({ metric: m })} />
        <fieldset class="segments" aria-label="Range of time">
          {RANGE_IDS.map((r) => (
            <button key={r} type="button" aria-pressed={r === range} onClick={() => show({ range: r })}>
              {RANGES[r].label}
            </button>
          ))}
        </fieldset>
      </div>
      {metric === undefined ? (
        <p class="quiet chart-empty">No values yet: the chart begins with the first one.</p>
      ) : (
        <Chart key={`${metric} ${range}`} farm={farm} sensor={sensor} metric={metric} range={range} />
      )}
    </section>
  );
}

interface MetricsProps {
  readonly view: SensorView;
  readonly metric: string | undefined;
  readonly choose: (metric: string) => void;
}

function Metrics({ view, metric, choose }: MetricsProps) {
  const ids = inOrder(view.values.keys());
  if (metric === undefined) return null;
  if (ids.length < 2) return <p class="metric-single">{metricOf(metric).label}</p>;
  const change = (event: Event) => {
    if (event.currentTarget instanceof HTMLSelectElement) choose(event.currentTarget.value);
  };
  return (
    <select aria-label="Metric" value={metric} onChange={change}>
      {ids.map((id) => (
        <option key={id} value={id}>
          {metricOf(id).label}
        </option>
      ))}
    </select>
  );
}

/** What the gateway noticed about the sensor itself. */
function Remarks({ view }: { view: SensorView }) {
  const { skewMs = 0, refused = 0 } = view.condition;
  if (Math.abs(skewMs) < SKEW_MS && refused === 0) return null;
  return (
    <p class="remarks">
      {Math.abs(skewMs) >= SKEW_MS &&
        `Its clock is ${formatDuration(Math.abs(skewMs), locale)} ${skewMs > 0 ? 'ahead' : 'behind'}. `}
      {refused > 0 && `${refused} of its messages could not be read.`}
    </p>
  );
}
