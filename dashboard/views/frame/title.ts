import type { Signal } from '@preact/signals';
import type { SensorView } from '../../../client/latest.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import type { PageRoute } from '../../state/routes.ts';

/** What the browser's tab says: the place first, so that several tabs can be told apart. */
export function titleOf(
  at: PageRoute,
  farm: ApiFarm | undefined,
  sensors: ReadonlyMap<string, Signal<SensorView>>,
): string {
  const tail = farm === undefined ? 'Loam' : `${farm.name} – Loam`;
  switch (at.page) {
    case 'field':
      return `${farm?.fields.find((f) => f.id === at.field)?.name ?? at.field} – ${tail}`;
    case 'sensor':
      return `${sensors.get(at.sensor)?.peek().name ?? at.sensor} – ${tail}`;
    case 'playback':
      return `Playback – ${tail}`;
    case 'sensors':
      return `Sensors – ${tail}`;
    case 'dead-letters':
      return `Dead letters – ${tail}`;
    case 'events':
      return `Events – ${tail}`;
    case 'system':
      return 'System – Loam';
    case 'account':
      return 'Account – Loam';
    default:
      return tail;
  }
}
