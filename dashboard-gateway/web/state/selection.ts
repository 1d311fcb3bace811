import { computed } from '@preact/signals';
import type { SensorView } from '../../client/latest.ts';
import type { RangeId } from '../chart/ranges.ts';
import { wide } from './device.ts';
import { farm, inOrder, PRIMARY } from './farms.ts';
import { fields } from './fields.ts';
import { route } from './router.ts';
import { sensors } from './sensors.ts';

export interface Selection {
  readonly sensor: string;
  readonly metric: string | undefined;
  readonly range: RangeId;
}

/** The sensor whose chart is open: the address's; where there is room for one anyway, the first that has soil moisture, or any value. */
export const selection = computed<Selection | undefined>(() => {
  const at = route.value;
  if (at.page === 'sensor') return { sensor: at.sensor, metric: at.metric, range: at.range };
  if (!wide.value || farm.value === undefined) return undefined;
  const all = fields.value.flatMap((f) => f.sensors);
  const values = (id: string) => sensors.value.get(id)?.value.values;
  const first = all.find((id) => values(id)?.has(PRIMARY)) ?? all.find((id) => (values(id)?.size ?? 0) > 0);
  return first === undefined ? undefined : { sensor: first, metric: undefined, range: '1h' };
});

/** The metric that a chart of this sensor shows when none, or one it does not have, was asked for. */
export function metricToShow(view: SensorView, asked: string | undefined): string | undefined {
  if (asked !== undefined && (view.values.has(asked) || view.values.size === 0)) return asked;
  return inOrder(view.values.keys())[0];
}
