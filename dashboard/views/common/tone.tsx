import type { SensorView } from '../../../client/latest.ts';
import type { Tone } from '../../format/words.ts';
import { slowNow } from '../../state/device.ts';
import { isFresh, wrongClock } from '../../state/findings.ts';
import { toneOfSensor } from '../../state/health.ts';
import { intervalOf } from '../../state/sensors.ts';
import { Age } from './age.tsx';
import { ToneIcon } from './icons.tsx';

/** A state in words, colour and shape. */
export function Mark({ tone, words }: { tone: Tone; words: string }) {
  return (
    <span class={`mark tone-${tone}`}>
      <ToneIcon tone={tone} />
      {words}
    </span>
  );
}

const STATE_WORDS = { online: 'Online', late: 'Late', offline: 'Offline', never: 'Never reported' } as const;
const STATE_TONES = { online: 'fine', late: 'late', offline: 'offline', never: 'none' } as const;

/** Whether a sensor reports, and when a silent one was last heard. */
export function StateMark({ view }: { view: SensorView }) {
  const { state, lastSeen } = view;
  const isSilent = [...view.values.values()].every(([ts]) => !isFresh(ts, slowNow.value, intervalOf(view.id)));
  const clock = wrongClock(view, isSilent);
  // The page's own clock may show that the sensor is late before the gateway says so.
  const late = state === 'online' && clock === undefined && toneOfSensor(view.id).value === 'late';
  const shown = late ? 'late' : state;
  return (
    <span class="state">
      {clock === undefined ? (
        <Mark tone={STATE_TONES[shown]} words={STATE_WORDS[shown]} />
      ) : (
        <Mark tone="late" words={shown === 'offline' ? 'Offline, wrong clock' : 'Wrong clock'} />
      )}
      {(shown === 'offline' || shown === 'late') && lastSeen !== undefined && (
        <span class="quiet">
          last heard <Age ts={lastSeen} />
        </span>
      )}
    </span>
  );
}
