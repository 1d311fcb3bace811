import { useComputed } from '@preact/signals';
import type { ApiFarm } from '../../api/shapes.ts';
import { fields } from '../../state/fields.ts';
import { findings } from '../../state/health.ts';
import { anyReported, connection, sensors } from '../../state/sensors.ts';
import { HowToConnect, NoSensor } from '../common/empty.tsx';
import { FieldCard } from './field-card.tsx';
import { Headline } from './headline.tsx';
import { FarmPlan } from './plan.tsx';

/** A farm at a glance: is anything wrong, and where. */
export function FarmPage({ farm }: { farm: ApiFarm }) {
  const isAnyRefused = useComputed(() => findings.value.some(({ kind }) => kind === 'refused'));
  if (sensors.value.size === 0) {
    return (
      <>
        <h1 class="hidden">{farm.name}</h1>
        <NoSensor farm={farm.id} admin={farm.role === 'admin'} />
      </>
    );
  }
  const first = fields.value.find((f) => f.sensors.length > 0)?.sensors[0] ?? 'SENSOR';
  // Values come by the live connection: before it has caught up, it is not known whether there are any.
  const silent = connection.value.phase === 'live' && !anyReported.value;
  return (
    <div class="farm">
      <h1 class="hidden">{farm.name}</h1>
      {(!silent || isAnyRefused.value) && <Headline farm={farm} />}
      {silent && <HowToConnect farm={farm.id} sensor={first} />}
      <FarmPlan farm={farm} />
      <section class="field-cards" aria-label="Fields">
        {fields.value.map((f) => (
          <FieldCard key={f.id} farm={farm} field={f} />
        ))}
      </section>
    </div>
  );
}
