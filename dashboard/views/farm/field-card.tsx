import { useRef } from 'preact/hooks';
import type { ApiFarm } from '../../api/shapes.ts';
import { countOf } from '../../format/words.ts';
import type { FieldSensors } from '../../state/fields.ts';
import { healthOfField } from '../../state/health.ts';
import { addressOf } from '../../state/routes.ts';
import { sensors } from '../../state/sensors.ts';
import { SightContext, seen, useSight } from '../common/sight.ts';
import { Mark } from '../common/tone.tsx';
import { FieldMean } from './field-mean.tsx';
import { SensorRow } from './sensor-row.tsx';

/** Sensors beyond this many are on the field's own page. */
const MOST = 6;

/** One field: its state, and its sensors, first those that need attention. */
export function FieldCard({ farm, field }: { farm: ApiFarm; field: FieldSensors }) {
  const host = useRef<HTMLElement>(null);
  const sight = useSight(host);
  const { tone, words, affected, total, mains, order } = seen(sight, healthOfField(field.id));
  const to = addressOf({ page: 'field', farm: farm.id, field: field.id, metric: undefined, range: { last: '24h' } });
  const shown = (order.length > 0 ? order : field.sensors).slice(0, MOST);
  const more = field.sensors.length - shown.length;
  return (
    <article
      ref={host}
      class={`field-card edge-${tone}`}
      aria-labelledby={`field-${field.id}`}
      data-field={field.id}
      data-tone={tone}
    >
      <header class="field-card-head">
        <h3 id={`field-${field.id}`}>
          <a href={to}>{field.name}</a>
        </h3>
        {field.crop && <span class="crop">{field.crop}</span>}
        {field.sensors.length > 0 && (
          <Mark tone={tone} words={affected > 1 && affected < total ? `${words} (${affected} of ${total})` : words} />
        )}
      </header>
      {mains.map(({ metric, mean }) => (
        <FieldMean key={metric} {...{ farm, field, metric, mean }} />
      ))}
      {field.sensors.length === 0 ? (
        <p class="quiet">No sensor in this field yet.</p>
      ) : (
        <SightContext.Provider value={sight}>
          <ul class="sensor-rows">
            {shown.map((id) => {
              const view = sensors.value.get(id);
              return view && <SensorRow key={id} farm={farm.id} view={view} mains={mains} />;
            })}
          </ul>
        </SightContext.Provider>
      )}
      {more > 0 && (
        <a class="more" href={to}>
          All {countOf(field.sensors.length, 'sensor')}
        </a>
      )}
    </article>
  );
}
