import { CONCERN_IDS, CONCERNS, type Concern, concern, concerned } from '../state/overview.ts';
import { anyReported, connection, sensors } from '../state/sensors.ts';
import { LevelIcon, StateIcon } from './icons.tsx';

/** What needs a look, in numbers; each is a filter of the list below. */
export function Overview() {
  const found = concerned.value;
  const present = CONCERN_IDS.filter((c) => found[c].size > 0 || c === concern.value);
  return (
    <fieldset class="overview" aria-label="Which sensors to show">
      <Chip of={undefined} label="All" count={sensors.value.size} />
      {present.map((c) => (
        <Chip key={c} of={c} label={CONCERNS[c]} count={found[c].size} />
      ))}
      {present.length === 0 && connection.value.phase === 'live' && anyReported.value && (
        <span class="quiet">All sensors report, all values are in range.</span>
      )}
      {concern.value && found[concern.value].size === 0 && <span class="quiet">None any more.</span>}
    </fieldset>
  );
}

function Chip({ of, label, count }: { of: Concern | undefined; label: string; count: number }) {
  const choose = () => {
    concern.value = of;
  };
  return (
    <button type="button" class={`chip chip-${of ?? 'all'}`} aria-pressed={concern.value === of} onClick={choose}>
      {of === 'low' || of === 'high' ? <LevelIcon level={of} /> : of && <StateIcon state={of} />}
      {label} <b>{count}</b>
    </button>
  );
}
