import { type Signal, useComputed } from '@preact/signals';
import { useContext } from 'preact/hooks';
import type { SensorView } from '../../../client/latest.ts';
import { now } from '../../state/device.ts';
import { inOrder } from '../../state/farms.ts';
import { isFresh, wrongClock } from '../../state/findings.ts';
import { type MainValue, toneOfSensor } from '../../state/health.ts';
import { addressOf } from '../../state/routes.ts';
import { connection, intervalOf, isBridge } from '../../state/sensors.ts';
import { Age } from '../common/age.tsx';
import { ToneIcon } from '../common/icons.tsx';
import { SightContext, seen } from '../common/sight.ts';
import { LevelMark, Value } from '../common/value.tsx';

const STATE_WORDS = { online: 'Fine', late: 'Late', offline: 'Offline', never: 'Never reported' } as const;

interface SensorRowProps {
  readonly farm: string;
  readonly view: Signal<SensorView>;
  /** The main metrics of its field. */
  readonly mains: readonly MainValue[];
}

/** One sensor in one line: the value of the foremost of its field's main metrics that it has, and how old that is. */
export function SensorRow({ farm, view, mains }: SensorRowProps) {
  const { id } = view.peek();
  const tone = seen(useContext(SightContext), toneOfSensor(id));
  const name = useComputed(() => view.value.name);
  const words = useComputed(() => STATE_WORDS[view.value.state]);
  const own = useComputed(() => inOrder(view.value.values.keys()).join(' '));
  const ids = own.value === '' ? [] : own.value.split(' ');
  const metric = mains.find((main) => ids.includes(main.metric))?.metric ?? ids[0];
  return (
    <li class={`sensor-row row-${tone}`} data-sensor-row={id}>
      <ToneIcon tone={tone} />
      <span class="hidden">{words}: </span>
      <a
        class="sensor-name"
        title={name}
        href={addressOf({ page: 'sensor', farm, sensor: id, range: { last: '24h' } })}
      >
        {name}
      </a>
      {metric === undefined ? <NoValue view={view} /> : <Reading view={view} metric={metric} />}
    </li>
  );
}

function NoValue({ view }: { view: Signal<SensorView> }) {
  const { id, state } = view.value;
  const clock = wrongClock(view.value, true);
  if (clock !== undefined) return <span class="quiet">{clock.replace(/^i/, 'I')}</span>;
  if (isBridge(id)) return <span class="quiet">Passes on others’ readings</span>;
  // It was heard, and all that it sent was refused.
  if (state !== 'never') return <span class="quiet">No value</span>;
  return <span class="quiet">{connection.value.phase === 'live' ? 'Never reported' : 'Waiting …'}</span>;
}

/** A value that turns grey, and says so, when it is past its expected interval. */
export function Reading({ view, metric }: { view: Signal<SensorView>; metric: string }) {
  const old = useOld(view, metric);
  const { id, values } = seen(useContext(SightContext), view);
  const measured = values.get(metric);
  if (measured === undefined) return null;
  const [ts, value] = measured;
  return (
    <span class={old.value ? 'reading old' : 'reading'}>
      {!old.value && <LevelMark metric={metric} value={value} />}
      <Value sensor={id} metric={metric} value={value} />
      <span class="age">
        {old.value && <span class="old-word">old, </span>}
        <Age ts={ts} />
      </span>
    </span>
  );
}

/** Whether a value is older than its sensor's interval allows. Changes seldom, so the row is seldom redrawn. */
export function useOld(view: Signal<SensorView>, metric: string) {
  return useComputed(() => {
    const measured = view.value.values.get(metric);
    return measured !== undefined && !isFresh(measured[0], now.value, intervalOf(view.value.id));
  });
}
