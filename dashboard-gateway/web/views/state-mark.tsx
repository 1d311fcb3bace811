import type { SensorView } from '../../client/latest.ts';
import type { SensorState } from '../../client/messages.ts';
import { Age } from './age.tsx';
import { StateIcon } from './icons.tsx';

const WORDS: Record<SensorState, string> = {
  online: 'Online',
  late: 'Late',
  offline: 'Offline',
  never: 'Never reported',
};

/** A sensor's state in a word and a shape; in detail, also when a silent one was last heard. */
export function StateMark({ view, detailed }: { view: SensorView; detailed?: boolean }) {
  const { state, lastSeen } = view;
  return (
    <p class={`state state-${state}`}>
      <StateIcon state={state} />
      {WORDS[state]}
      {detailed && (state === 'offline' || state === 'late') && lastSeen !== undefined && (
        <span class="state-detail">
          , last heard <Age ts={lastSeen} />
        </span>
      )}
    </p>
  );
}
