import { useState } from 'preact/hooks';
import type { ClockCondition, Condition } from '../../../client/messages.ts';
import { clockWords } from '../../../telemetry/clock-words.ts';
import { putClock } from '../../api/admin.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { reloadSensors } from '../../state/sensors.ts';
import { inWords } from './form.tsx';

/** A clock that is wrong by more than this is mentioned, also by a single reading. */
const SKEW_MS = 60_000;

/** What a sensor's clock is like, in the fewest words. It is correct only when it was found to be. */
export function clockInShort({ clock, skewMs = 0 }: Condition): string {
  if (clock?.is === 'right') return 'correct';
  const { is, byMs } = clock ?? bySkew(skewMs) ?? {};
  return is === undefined
    ? '–'
    : clockWords(is, byMs ?? 0)
        .replace('its clock ', '')
        .replace(/^is /, '');
}

/** What is wrong with a sensor's clock; admins can set it right by a click. */
export function ClockFact({ farm, sensor, condition }: { farm: ApiFarm; sensor: string; condition: Condition }) {
  const found = condition.clock ?? bySkew(condition.skewMs ?? 0);
  if (found === undefined || found.is === 'right') return null;
  const { is, byMs = 0, propose } = found;
  return (
    <li class="fact-warn">
      {clockWords(is, byMs).replace('its', 'Its')}
      {propose !== undefined && farm.role === 'admin' && <Correct {...{ farm, sensor, propose }} />}
    </li>
  );
}

interface CorrectProps {
  readonly farm: ApiFarm;
  readonly sensor: string;
  readonly propose: NonNullable<ClockCondition['propose']>;
}

function Correct({ farm, sensor, propose }: CorrectProps) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const correct = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await putClock(farm.id, sensor, propose);
      reloadSensors();
    } catch (error) {
      setFailure(inWords(error));
    }
    setBusy(false);
  };
  return (
    <>
      {': '}
      <button type="button" disabled={busy} onClick={() => void correct()}>
        {propose === 'receipt' ? 'Date its readings by their receipt' : 'Correct by that'}
      </button>
      {failure && <span role="alert"> {failure}</span>}
    </>
  );
}

function bySkew(skewMs: number): ClockCondition | undefined {
  if (Math.abs(skewMs) < SKEW_MS) return undefined;
  return { is: skewMs > 0 ? 'ahead' : 'behind', byMs: Math.abs(skewMs), propose: undefined };
}
