import { computed, effect, signal } from '@preact/signals';
import { getRefusals, type SensorRefusal } from '../api/events.ts';
import { farm } from './farms.ts';
import { untilDone } from './retry.ts';

const EVERY_MS = 15_000;
const NONE: ReadonlyMap<string, SensorRefusal> = new Map();

/** The newest refusal of each sensor of the farm on screen. Empty for those who may not know of them. */
export const refusals = signal(NONE);

/** Keeps them in step with the farm on screen, while somebody looks at it who is its admin. */
export function startRefusals(): void {
  const whose = computed(() => (farm.value?.role === 'admin' ? farm.value.id : undefined));
  effect(() => {
    const id = whose.value;
    refusals.value = NONE;
    if (id === undefined) return;
    const leaving = new AbortController();
    const { signal } = leaving;
    const load = async () => {
      const found = await getRefusals(id, signal);
      if (!signal.aborted) refusals.value = found;
    };
    // Without them the page shows everything else: that the gateway does not answer is said elsewhere.
    const begin = () => void untilDone(load, { signal, onProblem: () => {} });
    begin();
    const timer = setInterval(() => document.visibilityState === 'visible' && begin(), EVERY_MS);
    return () => {
      clearInterval(timer);
      leaving.abort();
    };
  });
}
