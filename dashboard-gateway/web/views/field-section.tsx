import { useState } from 'preact/hooks';
import type { FieldSensors } from '../state/fields.ts';
import { concern, concerned } from '../state/overview.ts';
import { sensors } from '../state/sensors.ts';
import { SensorCard } from './sensor-card.tsx';

/** Cards beyond this many are drawn on request: a field may have thousands of sensors. */
const STEP = 60;

export function FieldSection({ farm, field }: { farm: string; field: FieldSensors }) {
  const [limit, setLimit] = useState(STEP);
  const only = concern.value === undefined ? undefined : concerned.value[concern.value];
  const matching = only === undefined ? field.sensors : field.sensors.filter((id) => only.has(id));
  if (matching.length === 0) return null;
  const left = matching.length - limit;
  return (
    <section class="field" aria-labelledby={`field-${field.id}`}>
      <header class="field-head">
        <h2 id={`field-${field.id}`}>{field.name}</h2>
        {field.crop && <span class="crop">{field.crop}</span>}
        <span class="quiet">{countOf(matching.length)}</span>
      </header>
      <ul class="cards">
        {matching.slice(0, limit).map((id) => {
          const view = sensors.value.get(id);
          return view && <SensorCard key={id} farm={farm} view={view} />;
        })}
      </ul>
      {left > 0 && (
        <button type="button" onClick={() => setLimit(limit + STEP)}>
          Show {Math.min(STEP, left)} more of {left}
        </button>
      )}
    </section>
  );
}

function countOf(sensors: number): string {
  return sensors === 1 ? '1 sensor' : `${sensors} sensors`;
}
