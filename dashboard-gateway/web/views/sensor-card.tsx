import { type Signal, useComputed } from '@preact/signals';
import type { SensorView } from '../../client/latest.ts';
import type { Measured } from '../../client/messages.ts';
import { now } from '../state/device.ts';
import { inOrder, metricOf } from '../state/farms.ts';
import { addressOf } from '../state/routes.ts';
import { selection } from '../state/selection.ts';
import { connection, intervalOf, isBridge } from '../state/sensors.ts';
import { Age } from './age.tsx';
import { RangeBar } from './range-bar.tsx';
import { StateMark } from './state-mark.tsx';
import { LevelMark, Value } from './value.tsx';

/** One sensor: how it is, what it measures now. The whole card leads to its chart. */
export function SensorCard({ farm, view }: { farm: string; view: Signal<SensorView> }) {
  const { id, name, state, values } = view.value;
  const current = useComputed(() => selection.value?.sensor === id);
  const [first, ...others] = inOrder(values.keys());
  const address = addressOf({ page: 'sensor', farm, sensor: id, metric: undefined, range: '1h' });
  return (
    <li class={`card card-${state}`} data-sensor-card={id}>
      <header class="card-head">
        <h3>
          <a href={address} aria-current={current.value ? 'true' : undefined}>
            {name}
          </a>
        </h3>
        <StateMark view={view.value} />
      </header>
      {first === undefined ? <NoValues sensor={id} /> : <Primary view={view} metric={first} />}
      {others.length > 0 && (
        <dl class="others">
          {others.map((metric) => (
            <Other key={metric} view={view} metric={metric} />
          ))}
        </dl>
      )}
    </li>
  );
}

function NoValues({ sensor }: { sensor: string }) {
  if (isBridge(sensor)) return <p class="quiet">Passes on other sensors’ readings.</p>;
  // The values come after the list of sensors: until then there may well be some.
  return <p class="quiet">{connection.value.phase === 'live' ? 'No values yet.' : 'Waiting for values …'}</p>;
}

interface MetricProps {
  readonly view: Signal<SensorView>;
  readonly metric: string;
}

function Primary({ view, metric }: MetricProps) {
  const old = useOld(view, metric);
  const measured = view.value.values.get(metric);
  if (measured === undefined) return null;
  const [ts, value] = measured;
  return (
    <div class={old.value ? 'primary old' : 'primary'}>
      <p class="metric">{metricOf(metric).label}</p>
      <p class="primary-value">
        <Value sensor={view.value.id} metric={metric} value={value} />
        <LevelMark metric={metric} value={value} />
      </p>
      <RangeBar metric={metric} value={value} />
      <p class="age">
        <Age ts={ts} />
        {old.value && view.value.state === 'online' && ', older than expected'}
      </p>
    </div>
  );
}

function Other({ view, metric }: MetricProps) {
  const old = useOld(view, metric);
  const measured = view.value.values.get(metric);
  if (measured === undefined) return null;
  const [ts, value] = measured;
  return (
    <div class={old.value ? 'other old' : 'other'}>
      <dt class="metric">{metricOf(metric).label}</dt>
      <dd>
        <Value sensor={view.value.id} metric={metric} value={value} />
        <LevelMark metric={metric} value={value} />
        {isBehind(view.value, ts) && (
          <span class="age">
            <Age ts={ts} />
          </span>
        )}
      </dd>
    </div>
  );
}

/** Whether a value is older than its sensor's rhythm allows. Changes seldom, so the clock does not redraw the card each second. */
function useOld(view: Signal<SensorView>, metric: string) {
  return useComputed(() => {
    const measured = view.value.values.get(metric);
    return measured !== undefined && now.value - measured[0] > 2 * intervalOf(view.value.id);
  });
}

/** Whether the sensor has sent other values since: then this one's own age must be told. */
function isBehind(view: SensorView, ts: number): boolean {
  const newest = [...view.values.values()].reduce((latest: number, [t]: Measured) => Math.max(latest, t), ts);
  return newest - ts >= intervalOf(view.id);
}
