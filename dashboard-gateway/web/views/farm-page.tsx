import { useEffect } from 'preact/hooks';
import type { Farm } from '../api/shapes.ts';
import { formatMoment } from '../format/time.ts';
import { locale, now, slowNow } from '../state/device.ts';
import { fields } from '../state/fields.ts';
import { concern } from '../state/overview.ts';
import { selection } from '../state/selection.ts';
import { anyReported, connection, listed, sensors, sensorsProblem } from '../state/sensors.ts';
import { HowToConnect, NoSensor } from './empty.tsx';
import { FieldSection } from './field-section.tsx';
import { Notice, ProblemNotice } from './notice.tsx';
import { Overview } from './overview.tsx';
import { PasswordForm } from './password.tsx';
import { SensorPanel } from './sensor-panel.tsx';

/** A farm: its sensors field by field, and the chart of one of them. */
export function FarmPage({ farm }: { farm: Farm }) {
  const selected = selection.value;
  useEffect(
    () => () => {
      concern.value = undefined;
    },
    [],
  );
  return (
    <div class={selected ? 'farm farm-split' : 'farm'}>
      <PasswordForm />
      <Troubles />
      {selected && <SensorPanel key={selected.sensor} farm={farm} {...selected} />}
      <SensorList farm={farm} />
    </div>
  );
}

function Troubles() {
  const problem = sensorsProblem.value;
  const state = connection.value;
  if (problem) return <ProblemNotice problem={problem} again={problem.passing} />;
  if (state.phase === 'refused') return <Refused message={state.message || state.code} />;
  const lostAt = 'lostAt' in state ? state.lostAt : undefined;
  // A short break heals before anybody has read a word about it.
  if (lostAt === undefined || now.value - lostAt < 10_000) return null;
  return (
    <p class="banner" role="status">
      No connection to Loam since {formatMoment(lostAt, slowNow.value, locale)}: what you see is from then. Trying again
      by itself.
    </p>
  );
}

function Refused({ message }: { message: string }) {
  return (
    <Notice title="Live values were refused">
      <p>{message}. Reload this page; if that does not help, ask your administrator.</p>
    </Notice>
  );
}

function SensorList({ farm }: { farm: Farm }) {
  if (sensors.value.size === 0) {
    if (listed.value) return <NoSensor farm={farm.id} />;
    return sensorsProblem.value ? null : <p class="quiet">Loading sensors …</p>;
  }
  const first = fields.value[0]?.sensors[0] ?? 'SENSOR';
  // Values come by the live connection: before it has caught up nobody knows whether there are any.
  const silent = connection.value.phase === 'live' && !anyReported.value;
  return (
    <div class="list">
      {silent && <HowToConnect farm={farm.id} sensor={first} />}
      <Overview />
      {fields.value.map((f) => (
        <FieldSection key={f.id} farm={farm.id} field={f} />
      ))}
    </div>
  );
}
