import { computed, effect, signal } from '@preact/signals';
import { getFarms } from '../api/gateway.ts';
import type { ApiProblem } from '../api/problem.ts';
import type { ApiFarm, ApiMetric, Mqtt } from '../api/shapes.ts';
import { labelFrom } from '../format/value.ts';
import { untilDone } from './retry.ts';
import { go, route } from './router.ts';
import { watchFarm } from './sensors.ts';
import { recheck, session } from './session.ts';

interface Known {
  readonly farms: readonly ApiFarm[];
  readonly metrics: ReadonlyMap<string, ApiMetric>;
  /** Where sensors connect, as far as the gateway knows. */
  readonly mqtt: Mqtt | undefined;
}

/** The farms that this user may see, once they are known. */
export const known = signal<Known | undefined>(undefined);
export const farmsProblem = signal<ApiProblem | undefined>(undefined);

let lastFarm: string | undefined;

/** The farm on screen: the address's, otherwise the first. Undefined when there is none or it is not this user's. */
export const farm = computed<ApiFarm | undefined>(() => {
  const farms = known.value?.farms ?? [];
  const at = route.value;
  if ('farm' in at) return farms.find((f) => f.id === at.farm);
  // Pages of no farm (system, account) keep the one that was looked at last.
  return at.page === 'system' || at.page === 'account' ? (farms.find((f) => f.id === lastFarm) ?? farms[0]) : undefined;
});

/** Days and times on screen are those of the farm; of a page of no farm the viewer's. */
export const zone = computed(() => farm.value?.timezone);

/** The metric that a grower looks for first. */
export const PRIMARY = 'soil_moisture';

/** A metric's definition; one that nobody described gets a readable name and no range. */
export function metricOf(id: string): ApiMetric {
  const defined = known.value?.metrics.get(id);
  return defined ?? { id, label: labelFrom(id), unit: '', min: undefined, max: undefined, decimals: undefined };
}

/** Metric ids in the order in which they are shown: soil moisture, then as the registry lists them, then the rest by name. */
export function inOrder(metrics: Iterable<string>): string[] {
  const listed = [...(known.value?.metrics.keys() ?? [])];
  const rank = (id: string) => {
    if (id === PRIMARY) return -1;
    const place = listed.indexOf(id);
    return place < 0 ? listed.length : place;
  };
  return [...metrics].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

let loading = new AbortController();

/** Fetches the list of farms, again and again until it is there. */
export function loadFarms(): void {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const work = async () => {
    const { farms, metrics, mqtt } = await getFarms();
    if (signal.aborted) return;
    known.value = { farms, mqtt, metrics: new Map(metrics.map((m) => [m.id, m])) };
    farmsProblem.value = undefined;
  };
  void untilDone(work, {
    signal,
    onProblem: (problem) => {
      farmsProblem.value = problem;
      if (problem.status === 401) void recheck();
    },
  });
}

/** Keeps the farms in step with who is signed in, and the sensors with the farm on screen. */
export function startFarms(): void {
  const user = computed(() => (session.value.phase === 'signed-in' ? session.value.me.user : undefined));
  effect(() => {
    if (user.value !== undefined) {
      loadFarms();
      return;
    }
    loading.abort();
    known.value = undefined;
  });
  effect(() => {
    lastFarm = farm.value?.id ?? lastFarm;
    watchFarm(farm.value?.id);
  });
  effect(() => {
    const first = known.value?.farms[0];
    if (route.value.page === 'home' && first) go({ page: 'farm', farm: first.id }, 'replace');
  });
}
