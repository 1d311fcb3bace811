import type { SensorView } from '../live/latest.ts';
import type { SensorState } from '../live/messages.ts';
import { Age } from './age.tsx';
import { StateIcon } from './icons.tsx';

const WORDS: Record<SensorState, string> = {
  online: 'Online',
  late: 'Late',
  offline: 'Offline',
  never: 'Never reported',
};

/** A sensor's state in a word and a shape; for a silent one, when it was last heard. */
export function StateMark({ view }: { view: SensorView }) {
  const { state, lastSeen } = view;
  return (
    <p class={`state state-${state}`}>
      <StateIcon state={state} />
      {WORDS[state]}
      {state === 'offline' && lastSeen !== undefined && (
        <span class="state-detail">
          , heard <Age ts={lastSeen} />
        </span>
      )}
    </p>
  );
}
