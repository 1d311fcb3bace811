import { hashSecret } from '../core/secrets.ts';
import type { LoadConnection, LoadPlan } from '../simulators/load/plan.ts';
import { telemetryTopic } from '../telemetry/topic.ts';

export const FARM = 'bench';
const FIELDS = 20;
/** A bench drives a sensor as no sensor reports: it is Loam that is to be measured, not the limit it sets a sensor. */
export const UNLIMITED =
  'rates: { sensor: { messages: 1000000, bytes: 1000000000 }, bridge: { messages: 1000000, bytes: 1000000000 } }';

/** A farm of `count` sensors in 20 fields: its registry as YAML, and a connection for each sensor. */
export function benchFarm(count: number): { yaml: string; connections: LoadConnection[] } {
  const ids = Array.from({ length: count }, (_, i) => `s${String(i + 1).padStart(5, '0')}`);
  const fields = Array.from({ length: FIELDS }, (_, i) => `  - { id: f${i}, farm: ${FARM}, name: Field ${i} }`);
  const sensors = ids.map(
    (id, i) => `  - { id: ${id}, farm: ${FARM}, field: f${i % FIELDS}, secret: ${hashSecret(secretOf(id))} }`,
  );
  return {
    yaml: [
      UNLIMITED,
      'farms:',
      `  - { id: ${FARM}, name: Bench, timezone: UTC }`,
      'fields:',
      ...fields,
      'sensors:',
      ...sensors,
      '',
    ].join('\n'),
    connections: ids.map((id) => ({
      clientId: id,
      username: id,
      password: secretOf(id),
      sensors: [{ farm: FARM, sensor: id, topic: telemetryTopic(FARM, id) }],
    })),
  };
}

/** The same connections with one user name and password for all, or none. */
export function signedInAs(
  connections: readonly LoadConnection[],
  user?: { readonly username: string; readonly password: string },
): LoadConnection[] {
  return connections.map(({ clientId, sensors }) => ({ clientId, sensors, ...user }));
}

/** Times that no two readings of a sensor share, the first of them an hour ago: a fast sensor's run on ahead of the clock. */
export function steppedTimes(): Extract<LoadPlan['times'], { are: 'stepped' }> {
  return { are: 'stepped', first: Date.now() - 3_600_000, step: 1 };
}

function secretOf(id: string): string {
  return `secret-of-${id}`;
}
