import { useComputed } from '@preact/signals';
import type { ApiFarm } from '../../api/shapes.ts';
import type { Tone } from '../../format/words.ts';
import { labelPlace, type Point, type Projection, projectionOf, sizesOf } from '../../plan/project.ts';
import { type FieldSensors, fields } from '../../state/fields.ts';
import { healthOfField, toneOfSensor } from '../../state/health.ts';
import { offThePlan, plannedOutlineOf, plannedPositionOf } from '../../state/positions.ts';
import { addressOf } from '../../state/routes.ts';
import { sensors } from '../../state/sensors.ts';
import { letterMetres, PlanFrame, PlanShape } from '../common/plan-parts.tsx';
import { valueText } from '../common/value.tsx';

/** The farm from above, to scale, each field in the colour of its worst state. Nothing without positions. */
export function FarmPlan({ farm }: { farm: ApiFarm }) {
  const plan = useComputed(() => planOf(fields.value, letterMetres.value));
  if (plan.value === undefined) return null;
  const { projection, placed } = plan.value;
  return (
    <PlanFrame
      projection={projection}
      label={`Plan of ${farm.name}: fields and sensors`}
      note={<OffThePlan farm={farm.id} />}
    >
      {placed.map(({ field, outline, middle }) => (
        <PlanField key={field.id} farm={farm.id} {...{ field, outline, middle }} />
      ))}
      {placed.flatMap(({ dots }) => dots.map(({ id, at }) => <Dot key={id} farm={farm.id} sensor={id} at={at} />))}
    </PlanFrame>
  );
}

/** As many as can be read at a glance. */
const MOST_OFF = 3;

/** What the plan leaves out, because it would be far away from everything else. */
function OffThePlan({ farm }: { farm: string }) {
  const off = offThePlan.value;
  if (off.length === 0) return null;
  return (
    <ul class="plan-off">
      {off.slice(0, MOST_OFF).map(({ id, isField, words }) => (
        <li key={`${isField} ${id}`}>
          {isField ? (
            <b>{fields.value.find((f) => f.id === id)?.name ?? id}</b>
          ) : (
            <a href={addressOf({ page: 'sensor', farm, sensor: id, range: { last: '24h' } })}>
              {sensors.value.get(id)?.peek().name ?? id}
            </a>
          )}{' '}
          is not on the plan: {words}.
        </li>
      ))}
      {off.length > MOST_OFF && <li>And {off.length - MOST_OFF} more.</li>}
    </ul>
  );
}

export interface PlacedField {
  readonly field: FieldSensors;
  /** Undefined for a field whose polygon nobody drew. */
  readonly outline: readonly Point[] | undefined;
  /** Where its name stands. */
  readonly middle: Point;
  readonly dots: readonly { readonly id: string; readonly at: Point }[];
}

/**
 * Places names and sensors, metres. While the letters' height is not known, names are in the middle of their fields.
 */
export function planOf(
  all: readonly FieldSensors[],
  letters: number | undefined,
): { projection: Projection; placed: PlacedField[] } | undefined {
  const placesOf = (f: FieldSensors) => f.sensors.map(plannedPositionOf).filter((at) => at !== undefined);
  const outlineOf = (f: FieldSensors) => plannedOutlineOf(f.id, f.polygon);
  const projection = projectionOf(all.flatMap((f) => [...(outlineOf(f) ?? []), ...placesOf(f)]));
  if (projection === undefined) return undefined;
  const placed = all.map((field) => {
    const outline = outlineOf(field)?.map(projection.place);
    const dots = field.sensors.flatMap((id) => {
      const position = plannedPositionOf(id);
      return position ? [{ id, at: projection.place(position) }] : [];
    });
    const places = letters === undefined ? [] : dots.map((dot) => dot.at);
    const middle = labelPlace(outline ?? [], places, sizesOf(field.name, letters ?? 0));
    return { field, outline, middle, dots };
  });
  return { projection, placed };
}

function PlanField({
  farm,
  field,
  outline,
  middle,
}: {
  farm: string;
  field: FieldSensors;
  outline: readonly Point[] | undefined;
  middle: Point;
}) {
  const { tone, words, mains } = healthOfField(field.id).value;
  if (outline === undefined) return null;
  const [{ metric, mean } = { metric: '', mean: undefined }] = mains;
  const value = mean === undefined ? '' : valueText(metric, mean);
  const shownTone: Tone = field.sensors.length === 0 ? 'none' : tone;
  return (
    <a
      class="plan-link"
      href={addressOf({ page: 'field', farm, field: field.id, metric: undefined, range: { last: '24h' } })}
    >
      <PlanShape
        outline={outline}
        middle={middle}
        tone={shownTone}
        name={field.name}
        line={field.sensors.length === 0 ? 'No sensor' : shownTone === 'fine' ? value : words}
      />
    </a>
  );
}

function Dot({ farm, sensor, at: [x, y] }: { farm: string; sensor: string; at: Point }) {
  const tone = toneOfSensor(sensor).value;
  const name = sensors.value.get(sensor)?.peek().name ?? sensor;
  return (
    <a
      class="plan-dot-link"
      href={addressOf({ page: 'sensor', farm, sensor, range: { last: '24h' } })}
      aria-label={`${name} on the plan`}
      tabIndex={-1}
    >
      <circle class={`plan-dot dot-${tone}`} cx={x} cy={y}>
        <title>{name}</title>
      </circle>
    </a>
  );
}
