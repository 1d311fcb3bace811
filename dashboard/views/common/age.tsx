import { useContext } from 'preact/hooks';
import { formatAge } from '../../format/age.ts';
import { formatExactly } from '../../format/time.ts';
import { locale, now, slowNow } from '../../state/device.ts';
import { zone } from '../../state/farms.ts';
import { SightContext, seen } from './sight.ts';

const EXACT_BELOW_MS = 90_000;

/** How long ago `ts` (Unix ms) was. The exact moment is in its title. */
export function Age({ ts }: { ts: number }) {
  const sight = useContext(SightContext);
  const young = now.peek() - ts < EXACT_BELOW_MS;
  const age = seen(sight, young ? now : slowNow) - ts;
  return (
    <time dateTime={new Date(ts).toISOString()} title={formatExactly(ts, locale, zone.value)}>
      {formatAge(age, locale)}
    </time>
  );
}
