import { type ReadonlySignal, useComputed } from '@preact/signals';
import { meanKindOf, meanOf } from '../../../telemetry/field-value.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { levelOf } from '../../format/value.ts';
import { type Tone, wordingOf } from '../../format/words.ts';
import type { Point } from '../../plan/project.ts';
import type { Tracks } from '../../state/day.ts';
import { metricOf } from '../../state/farms.ts';
import { type FieldSensors, fields } from '../../state/fields.ts';
import { worstOf } from '../../state/findings.ts';
import { sensors } from '../../state/sensors.ts';
import { letterMetres, PlanFrame, PlanShape } from '../common/plan-parts.tsx';
import { Mark } from '../common/tone.tsx';
import { valueText } from '../common/value.tsx';
import { type PlacedField, planOf } from '../farm/plan.tsx';

interface DayPlanProps {
  readonly farm: ApiFarm;
  readonly metric: string;
  readonly at: ReadonlySignal<number>;
  readonly tracks: Tracks;
  /** Of each field, for as long as not all of its sensors are there. */
  readonly means: Tracks;
  /** How long a sensor's value stands, ms. */
  readonly goodFor: (sensor: string) => number;
}

/** The farm as it was at one moment of the day. A farm without positions is described in words. */
export function DayPlan(props: DayPlanProps) {
  const plan = useComputed(() => planOf(fields.value, letterMetres.value));
  const { farm, metric } = props;
  if (plan.value === undefined) return <DayList {...props} />;
  const { projection, placed } = plan.value;
  const label = `${metricOf(metric).label} of ${farm.name} at the chosen time`;
  return (
    <PlanFrame projection={projection} label={label}>
      {placed.map(
        (place) => place.outline && <FieldThen key={place.field.id} {...props} place={place} outline={place.outline} />,
      )}
      {placed.flatMap(({ dots }) =>
        dots
          .filter(({ id }) => props.tracks.has(id))
          .map((dot) => <DotThen key={dot.id} {...props} id={dot.id} at={props.at} place={dot.at} />),
      )}
    </PlanFrame>
  );
}

/** A field's state then: of all that its sensors measured, or of its mean until they are there. */
function fieldThen(props: DayPlanProps, { id, sensors: ids }: FieldSensors) {
  const { tracks, means, at, goodFor } = props;
  const measuring = ids.filter((sensor) => sensors.peek().get(sensor)?.peek().values.has(props.metric));
  if (measuring.every((sensor) => tracks.has(sensor))) return then(props, ids);
  const goodForMs = measuring.reduce((most, sensor) => Math.max(most, goodFor(sensor)), 0);
  return judged(props.metric, [means.get(id)?.at(at.value, goodForMs) ?? []].flat());
}

/** The state then, from the values of the sensors `ids`. */
function then({ metric, at, tracks, goodFor }: DayPlanProps, ids: readonly string[]) {
  return judged(
    metric,
    ids.flatMap((id) => tracks.get(id)?.at(at.value, goodFor(id)) ?? []),
  );
}

function judged(metric: string, values: readonly number[]) {
  const mean = meanOf(values, meanKindOf(metric));
  if (mean === undefined) return { tone: 'none' as Tone, words: 'No values', value: '' };
  const levels = values.map((v) => levelOf(v, metricOf(metric)));
  const found = levels.flatMap((level) => (level === 'ok' ? [] : [wordingOf(metric, level)]));
  const tone = found.length === 0 ? 'fine' : worstOf(found.map((f) => f.tone));
  return { tone, words: found.find((f) => f.tone === tone)?.words ?? 'Fine', value: valueText(metric, mean) };
}

function FieldThen({ place, outline, ...props }: DayPlanProps & { place: PlacedField; outline: readonly Point[] }) {
  const { tone, words, value } = fieldThen(props, place.field);
  const line = tone === 'fine' ? value : words;
  return <PlanShape outline={outline} middle={place.middle} tone={tone} name={place.field.name} line={line} />;
}

function DotThen({ id, place: [x, y], ...props }: DayPlanProps & { id: string; place: Point }) {
  return <circle class={`plan-dot dot-${then(props, [id]).tone}`} cx={x} cy={y} />;
}

function DayList(props: DayPlanProps) {
  return (
    <ul class="day-list">
      {fields.value.map((f) => {
        const { tone, words, value } = fieldThen(props, f);
        return (
          <li key={f.id}>
            <b>{f.name}</b> <Mark tone={tone} words={words} /> {value}
          </li>
        );
      })}
    </ul>
  );
}
