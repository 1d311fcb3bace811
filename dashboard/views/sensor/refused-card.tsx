import { refusalWords } from '../../../telemetry/refusal-words.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { slowNow } from '../../state/device.ts';
import { refusedSince } from '../../state/findings.ts';
import { refusals } from '../../state/refusals.ts';
import { addressOf } from '../../state/routes.ts';
import { isBridge, sensors } from '../../state/sensors.ts';
import { Age } from '../common/age.tsx';

const HOUR_MS = 3_600_000;
/** One that comes back before its old connection was found dead takes it over too: that is nothing to worry about. */
const OFTEN = 3;

/** Why nothing comes from a sensor that knocks, and what to do. */
export function RefusedCard({ farm, sensor }: { farm: ApiFarm; sensor: string }) {
  const known = refusals.value.get(sensor);
  const view = sensors.value.get(sensor)?.value;
  if (known === undefined || view === undefined) return null;
  const { certain, takenOver } = known;
  const refused = refusedSince({ view, refusal: known, bridge: isBridge(sensor), now: slowNow.value });
  const isContested = takenOver !== undefined && takenOver.count >= OFTEN && slowNow.value - takenOver.at < HOUR_MS;
  const events = addressOf({ page: 'events', farm: farm.id });
  return (
    <>
      {refused && (
        <section class="notice notice-problem" data-refused={refused.why}>
          <h2>
            Refused <Age ts={refused.at} /> from {refused.from ?? 'an unknown address'}:{' '}
            {refusalWords(refused.why ?? '').words}
          </h2>
          {refused.what && <p>{refused.what}</p>}
          <p>{refusalWords(refused.why ?? '').remedy}</p>
          {!certain && (
            <p class="quiet">
              It gave only the name {refused.who}, which a sensor of another farm may have too. With {farm.id}/{sensor}{' '}
              as its user name there is no doubt.
            </p>
          )}
          <p>
            <a href={addressOf({ page: 'sensors', farm: farm.id })}>Give it a new secret</a> ·{' '}
            <a href={events}>All events</a>
          </p>
        </section>
      )}
      {isContested && (
        <section class="notice">
          <h2>
            Two devices sign in as this sensor, last <Age ts={takenOver.at} />
          </h2>
          <p>
            Each ends the other’s connection, for both have one client id. Give each device its own, and each sensor its
            own secret.
          </p>
          {takenOver.what && <p class="quiet">{takenOver.what}</p>}
        </section>
      )}
    </>
  );
}
