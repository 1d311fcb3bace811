import { useComputed, useSignal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { mainMetrics } from '../../../telemetry/main-metrics.ts';
import { csvAddress } from '../../api/gateway.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { OTHERS } from '../../chart/palette.ts';
import { type ChartRange, stretchOf } from '../../chart/ranges.ts';
import { countOf } from '../../format/words.ts';
import { now } from '../../state/device.ts';
import { inOrder, metricOf } from '../../state/farms.ts';
import { type FieldSensors, fields } from '../../state/fields.ts';
import { healthOfField } from '../../state/health.ts';
import { go } from '../../state/router.ts';
import { addressOf } from '../../state/routes.ts';
import { sensors } from '../../state/sensors.ts';
import { ChartPanel } from '../chart/chart-panel.tsx';
import { RangeControls } from '../chart/range-controls.tsx';
import { NoSensor } from '../common/empty.tsx';
import { Glyph } from '../common/icons.tsx';
import { Notice } from '../common/notice.tsx';
import { Mark } from '../common/tone.tsx';
import { SensorCard } from './sensor-card.tsx';

/** Cards beyond this many are drawn on request: a field may have thousands of sensors. */
const STEP = 60;
/** Most lines of sensors that are drawn over the mean at first: more would be hard to tell apart. */
const FIRST_LINES = 5;

interface FieldPageProps {
  readonly farm: ApiFarm;
  readonly field: string;
  readonly metric: string | undefined;
  readonly range: ChartRange;
}

/** A field: one chart of its sensors together, and each of them beside the others. */
export function FieldPage({ farm, field: id, metric: asked, range }: FieldPageProps) {
  const field = fields.value.find((f) => f.id === id);
  const metrics = useComputed(() => metricsOf(fields.value.find((f) => f.id === id)).join(' '));
  if (field === undefined) {
    return (
      <Notice title={`There is no field “${id}” on ${farm.name}`}>
        <p>
          <a href={addressOf({ page: 'farm', farm: farm.id })}>Back to {farm.name}</a>
        </p>
      </Notice>
    );
  }
  const ids = metrics.value === '' ? [] : metrics.value.split(' ');
  const metric = asked !== undefined && ids.includes(asked) ? asked : ids[0];
  const show = (change: { metric?: string; range?: ChartRange }) =>
    go({ page: 'field', farm: farm.id, field: id, metric, range, ...change });
  return (
    <div class="field-page">
      <FieldHead farm={farm} field={field} />
      {field.sensors.length === 0 && <NoSensor farm={farm.id} admin={farm.role === 'admin'} />}
      {metric !== undefined && (
        <>
          <div class="toolbar">
            <Metrics ids={ids} metric={metric} choose={(m) => show({ metric: m })} />
            <RangeControls range={range} zone={farm.timezone} onRange={(r) => show({ range: r })} />
            <a class="button" href={csvAddress(farm.id, { field: id }, stretchOf(range, now.peek()))} download>
              <Glyph name="download" />
              CSV
            </a>
          </div>
          <FieldChart {...{ farm, field, metric, range }} onRange={(r) => show({ range: r })} />
        </>
      )}
      <Cards farm={farm} field={field} metric={metric} />
    </div>
  );
}

/** What is measured in a field, its main metrics first. */
function metricsOf(field: FieldSensors | undefined): string[] {
  const found = new Set<string>();
  for (const id of field?.sensors ?? []) for (const m of sensors.value.get(id)?.value.values.keys() ?? []) found.add(m);
  const order = inOrder(found);
  return [...new Set([...mainMetrics(field?.main ?? [], order), ...order])];
}

function FieldHead({ farm, field }: { farm: ApiFarm; field: FieldSensors }) {
  const { tone, words, affected, total } = healthOfField(field.id).value;
  return (
    <header class="page-head">
      <nav class="crumbs" aria-label="Where this is">
        <a href={addressOf({ page: 'farm', farm: farm.id })}>{farm.name}</a>
      </nav>
      <h1>{field.name}</h1>
      {field.sensors.length > 0 && (
        <Mark tone={tone} words={affected > 1 && affected < total ? `${words} (${affected} of ${total})` : words} />
      )}
      <ul class="facts">
        {field.crop && <li class="crop">{field.crop}</li>}
        <li class="quiet">{countOf(field.sensors.length, 'sensor')}</li>
      </ul>
    </header>
  );
}

function Metrics({
  ids,
  metric,
  choose,
}: {
  ids: readonly string[];
  metric: string;
  choose: (metric: string) => void;
}) {
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

interface FieldChartProps {
  readonly farm: ApiFarm;
  readonly field: FieldSensors;
  readonly metric: string;
  readonly range: ChartRange;
  readonly onRange: (range: ChartRange) => void;
}

/** The field's mean with its band from lowest to highest, and the lines of chosen sensors over it. */
function FieldChart({ farm, field, metric, range, onRange }: FieldChartProps) {
  const cursor = useSignal<number | undefined>(undefined);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [added, setAdded] = useState<readonly string[]>([]);
  const measuring = field.sensors.filter((id) => sensors.value.get(id)?.peek().values.has(metric));
  const offered = [...new Set([...measuring.slice(0, FIRST_LINES), ...added])].filter((id) => measuring.includes(id));
  const lines = offered.filter((id) => !hidden.has(id)).slice(0, OTHERS);
  const nameOf = (id: string) => sensors.value.get(id)?.peek().name ?? id;
  const toggle = (id: string) => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  const add = (event: Event) => {
    if (!(event.currentTarget instanceof HTMLSelectElement) || event.currentTarget.value === '') return;
    setAdded([...added, event.currentTarget.value]);
    event.currentTarget.value = '';
  };
  const left = measuring.filter((id) => !offered.includes(id));
  return (
    <section class="field-chart" aria-label={`${metricOf(metric).label} of ${field.name}`}>
      {measuring.length > 1 && (
        <fieldset class="line-choice" aria-label="Sensors in the chart">
          {offered.map((id) => (
            <button key={id} type="button" class="chip" aria-pressed={lines.includes(id)} onClick={() => toggle(id)}>
              {nameOf(id)}
            </button>
          ))}
          {left.length > 0 && lines.length < OTHERS && (
            <select aria-label="Add a sensor to the chart" onChange={add}>
              <option value="">Add a sensor …</option>
              {left.map((id) => (
                <option key={id} value={id}>
                  {nameOf(id)}
                </option>
              ))}
            </select>
          )}
        </fieldset>
      )}
      <ChartPanel
        {...{ farm, metric, range, cursor, onRange }}
        main={{ field: field.id }}
        mainName={measuring.length > 1 ? 'Mean of the field, lowest to highest' : 'Lowest to highest'}
        others={lines.map((sensor) => ({ sensor, name: nameOf(sensor) }))}
        sync={`field ${field.id}`}
      />
    </section>
  );
}

function Cards({ farm, field, metric }: { farm: ApiFarm; field: FieldSensors; metric: string | undefined }) {
  const [limit, setLimit] = useState(STEP);
  const { order } = healthOfField(field.id).value;
  const ids = order.length === field.sensors.length ? order : field.sensors;
  const left = ids.length - limit;
  return (
    <section aria-label={`Sensors of ${field.name}`}>
      <ul class="cards">
        {ids.slice(0, limit).map((id) => {
          const view = sensors.value.get(id);
          return view && <SensorCard key={id} farm={farm.id} view={view} metric={metric} />;
        })}
      </ul>
      {left > 0 && (
        <button type="button" class="more" onClick={() => setLimit(limit + STEP)}>
          Show {Math.min(STEP, left)} more of {left}
        </button>
      )}
    </section>
  );
}
