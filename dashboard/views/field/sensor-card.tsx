import { type Signal, useComputed } from '@preact/signals';
import type { SensorView } from '../../../client/latest.ts';
import { inOrder, metricOf } from '../../state/farms.ts';
import { wrongClock } from '../../state/findings.ts';
import { toneOfSensor } from '../../state/health.ts';
import { addressOf } from '../../state/routes.ts';
import { connection, isBridge } from '../../state/sensors.ts';
import { Spark } from '../common/spark.tsx';
import { StateMark } from '../common/tone.tsx';
import { RangeBar } from '../common/value.tsx';
import { Reading } from '../farm/sensor-row.tsx';

/** One sensor: how it is, what it measures now, and how the chosen metric went in the last day. */
export function SensorCard({
  farm,
  view,
  metric,
}: {
  farm: string;
  view: Signal<SensorView>;
  metric: string | undefined;
}) {
  const { id, name, values } = view.value;
  const tone = toneOfSensor(id).value;
  const ids = useComputed(() => {
    const known = inOrder(view.value.values.keys());
    return metric !== undefined && known.includes(metric) ? [metric, ...known.filter((m) => m !== metric)] : known;
  });
  const [first, ...others] = ids.value;
  const measured = first === undefined ? undefined : values.get(first);
  return (
    <li class={`card edge-${tone}`} data-sensor-card={id}>
      <header class="card-head">
        <h3>
          <a href={addressOf({ page: 'sensor', farm, sensor: id, range: { last: '24h' } })}>{name}</a>
        </h3>
        <StateMark view={view.value} />
      </header>
      {first === undefined || measured === undefined ? (
        <p class="quiet">{nothing(view.value)}</p>
      ) : (
        <div class="card-main">
          <p class="quiet">{metricOf(first).label}</p>
          <p class="card-value">
            <Reading view={view} metric={first} />
          </p>
          <Spark farm={farm} of={{ sensor: id }} metric={first} trend />
          <RangeBar metric={first} value={measured[1]} />
        </div>
      )}
      {others.length > 0 && (
        <dl class="others">
          {others.map((m) => (
            <div key={m}>
              <dt>{metricOf(m).label}</dt>
              <dd>
                <Reading view={view} metric={m} />
              </dd>
            </div>
          ))}
        </dl>
      )}
    </li>
  );
}

function nothing(view: SensorView): string {
  const clock = wrongClock(view, true);
  if (clock !== undefined) return `${clock.replace(/^i/, 'I')}.`;
  if (isBridge(view.id)) return 'Passes on other sensors’ readings.';
  // The values come after the list of sensors: until then it is not known whether there are any.
  return connection.value.phase === 'live' ? 'No values yet.' : 'Waiting for values …';
}
