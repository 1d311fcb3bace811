import { computed, signal } from '@preact/signals';
import type { SensorView } from '../../client/latest.ts';
import { levelOf } from '../format/value.ts';
import { now } from './device.ts';
import { metricOf } from './farms.ts';
import { sensors } from './sensors.ts';

/** What one can ask the list to show. A sensor can be in several. */
export const CONCERNS = {
  low: 'Too low',
  high: 'Too high',
  late: 'Late',
  offline: 'Offline',
  never: 'Never reported',
} as const;
export type Concern = keyof typeof CONCERNS;
export const CONCERN_IDS: readonly Concern[] = ['low', 'high', 'offline', 'late', 'never'];

export const concern = signal<Concern | undefined>(undefined);

/** The sensors of each concern. Counted once a second: counting at each reading would cost a large farm too much. */
export const concerned = computed(() => {
  now.value;
  const found: Record<Concern, Set<string>> = {
    low: new Set(),
    high: new Set(),
    late: new Set(),
    offline: new Set(),
    never: new Set(),
  };
  for (const view of sensors.value.values()) {
    const v = view.peek();
    for (const c of concernsOf(v)) found[c].add(v.id);
  }
  return found;
});

function concernsOf(view: SensorView): Concern[] {
  const levels = [...view.values].map(([metric, [, value]]) => levelOf(value, metricOf(metric)));
  const bounds = (['low', 'high'] as const).filter((l) => levels.includes(l));
  return view.state === 'online' ? bounds : [...bounds, view.state];
}
