import { useComputed, useSignal } from '@preact/signals';
import { csvAddress } from '../../api/gateway.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { type ChartRange, stretchOf } from '../../chart/ranges.ts';
import { formatDuration } from '../../format/age.ts';
import { countOf } from '../../format/words.ts';
import { locale, now } from '../../state/device.ts';
import { inOrder, metricOf } from '../../state/farms.ts';
import { fields } from '../../state/fields.ts';
import { wrongClock } from '../../state/findings.ts';
import { wrongPlaceOf } from '../../state/positions.ts';
import { go } from '../../state/router.ts';
import { addressOf } from '../../state/routes.ts';
import { infoOf, isBridge, listed, sensors } from '../../state/sensors.ts';
import { ChartPanel } from '../chart/chart-panel.tsx';
import { RangeControls } from '../chart/range-controls.tsx';
import { ClockFact } from '../common/clock.tsx';
import { HowToConnect } from '../common/empty.tsx';
import { Glyph } from '../common/icons.tsx';
import { Notice } from '../common/notice.tsx';
import { StateMark } from '../common/tone.tsx';
import { Reading } from '../farm/sensor-row.tsx';
import { RefusedCard } from './refused-card.tsx';

interface SensorPageProps {
  readonly farm: ApiFarm;
  readonly sensor: string;
  readonly range: ChartRange;
}

/** One sensor: how it is, and a chart of each thing it measures, with one crosshair and one range for all. */
export function SensorPage({ farm, sensor, range }: SensorPageProps) {
  const cursor = useSignal<number | undefined>(undefined);
  const view = sensors.value.get(sensor);
  // The set of metrics changes seldom, their values change every second.
  const metrics = useComputed(() => inOrder(sensors.value.get(sensor)?.value.values.keys() ?? []).join(' '));
  if (view === undefined) {
    if (!listed.value) return <p class="quiet loading">Loading …</p>;
    return (
      <Notice title={`There is no sensor “${sensor}” on ${farm.name}`}>
        <p>
          It may have been removed, or moved to another farm.{' '}
          <a href={addressOf({ page: 'farm', farm: farm.id })}>Back to {farm.name}</a>
        </p>
      </Notice>
    );
  }
  const onRange = (next: ChartRange) => go({ page: 'sensor', farm: farm.id, sensor, range: next });
  const ids = metrics.value === '' ? [] : metrics.value.split(' ');
  return (
    <div class="sensor-page">
      <SensorHead farm={farm} sensor={sensor} />
      <RefusedCard farm={farm} sensor={sensor} />
      {ids.length === 0 ? (
        <NothingToShow farm={farm.id} sensor={sensor} />
      ) : (
        <>
          <div class="toolbar">
            <RangeControls range={range} zone={farm.timezone} onRange={onRange} />
            <CsvLink farm={farm.id} sensor={sensor} range={range} />
          </div>
          <div class="charts">
            {ids.map((metric) => (
              <ChartPanel
                key={metric}
                {...{ farm, metric, range, cursor, onRange }}
                main={{ sensor }}
                sync={`sensor ${sensor}`}
              />
            ))}
          </div>
          <p class="quiet hint">
            Days and times are those of the farm ({farm.timezone.replaceAll('_', ' ')}). Drag across a chart to zoom in;
            hold Shift and drag to move; the browser’s Back undoes it.
          </p>
        </>
      )}
    </div>
  );
}

/** A sensor without a value: how to send one, or why those that it sent are not here. */
function NothingToShow({ farm, sensor }: { farm: string; sensor: string }) {
  const view = sensors.value.get(sensor)?.value;
  if (view === undefined || isBridge(sensor)) return null;
  const clock = wrongClock(view, true);
  if (clock === undefined) return view.state === 'never' ? <HowToConnect farm={farm} sensor={sensor} /> : null;
  return (
    <Notice title={clock.replace(/^i/, 'I')}>
      <p>
        It reports, and what it sends is kept with the messages that could not be read. Set the clock of the device
        right, or let Loam correct it: then its readings show here.
      </p>
    </Notice>
  );
}

function SensorHead({ farm, sensor }: { farm: ApiFarm; sensor: string }) {
  const view = sensors.value.get(sensor)?.value;
  if (view === undefined) return null;
  const field = fields.value.find((f) => f.sensors.includes(sensor));
  const info = infoOf(sensor);
  const { refused = 0, firmware } = view.condition;
  const wrongPlace = wrongPlaceOf(sensor);
  return (
    <header class="page-head">
      <nav class="crumbs" aria-label="Where this is">
        <a href={addressOf({ page: 'farm', farm: farm.id })}>{farm.name}</a>
        {field && (
          <a
            href={addressOf({
              page: 'field',
              farm: farm.id,
              field: field.id,
              metric: undefined,
              range: { last: '24h' },
            })}
          >
            {field.name}
          </a>
        )}
      </nav>
      <h1>{view.name}</h1>
      <StateMark view={view} />
      <ul class="facts">
        {view.name !== sensor && <li class="quiet">{sensor}</li>}
        {info && <li class="quiet">expected every {formatDuration(info.interval * 1000, locale)}</li>}
        {firmware && <li class="quiet">firmware {firmware}</li>}
        <ClockFact {...{ farm, sensor }} condition={view.condition} />
        {wrongPlace && <li class="fact-warn">{wrongPlace.replace(/^i/, 'I')}</li>}
        {refused > 0 && (
          <li class="fact-warn">
            {countOf(refused, 'message')} refused
            {farm.role === 'admin' && (
              <>
                : <a href={addressOf({ page: 'dead-letters', farm: farm.id })}>see why</a>
              </>
            )}
          </li>
        )}
      </ul>
      <Now sensor={sensor} />
    </header>
  );
}

/** The newest value of each metric. */
function Now({ sensor }: { sensor: string }) {
  const view = sensors.value.get(sensor);
  if (view === undefined) return null;
  const ids = inOrder(view.value.values.keys());
  return (
    <dl class="now">
      {ids.map((metric) => (
        <div key={metric}>
          <dt>{metricOf(metric).label}</dt>
          <dd>
            <Reading view={view} metric={metric} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function CsvLink({ farm, sensor, range }: { farm: string; sensor: string; range: ChartRange }) {
  // The address is made when the link is clicked: "the last hour" then is the hour before the click.
  const aim = (event: Event) => {
    if (event.currentTarget instanceof HTMLAnchorElement) event.currentTarget.href = address();
  };
  const address = () => csvAddress(farm, { sensor }, stretchOf(range, now.peek()));
  return (
    <a class="button" href={address()} download onClick={aim}>
      <Glyph name="download" />
      CSV
    </a>
  );
}
