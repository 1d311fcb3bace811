import { batch, computed, effect, type Signal, signal } from '@preact/signals';
import { dialGateway, wakeWithDevice } from '../../client/browser.ts';
import { LiveClient } from '../../client/client.ts';
import type { LiveState } from '../../client/events.ts';
import { Latest, type SensorView } from '../../client/latest.ts';
import { getSensors } from '../api/gateway.ts';
import { gatewayClock, gatewayNow } from '../api/gateway-clock.ts';
import type { ApiProblem } from '../api/problem.ts';
import type { Corner, SensorInfo } from '../api/shapes.ts';
import { beat } from './device.ts';
import { untilDone } from './retry.ts';
import { recheck } from './session.ts';

/** What the registry says of a sensor beyond its name and place. */
const DEFAULT_INTERVAL_S = 600;

export const connection = signal<LiveState>({ phase: 'idle' });
/** Why the list of sensors is not there, if it is not. */
export const sensorsProblem = signal<ApiProblem | undefined>(undefined);
/** Whether the list of sensors has come. */
export const listed = signal(false);
/** One signal per sensor: a reading redraws one card. A new map when sensors come, go, or change name or field. */
export const sensors = signal<ReadonlyMap<string, Signal<SensorView>>>(new Map());
const infos = signal<ReadonlyMap<string, SensorInfo>>(new Map());
const latest = new Latest(gatewayNow);
const dirty = new Set<string>();
let flushing = false;
let loading = new AbortController();
let watched: string | undefined;

/** The one live connection of this page. */
export const live = new LiveClient({ dial: dialGateway, now: gatewayNow });

export function startSensors(): void {
  live.on('state', (state) => {
    connection.value = state;
  });
  for (const news of ['snapshot', 'readings', 'status'] as const)
    live.on(news, (message) => show(latest.apply(message)));
  live.on('tick', (tick) => {
    if (tick.now !== undefined) gatewayClock.framed(tick.now);
  });
  // A browser does not say why a WebSocket was refused: an ended session shows in HTTP.
  live.on('lost', () => void recheck());
  wakeWithDevice(live);
  effect(() => {
    if (beat.value > 0 && dirty.size > 0) flush();
  });
}

/** Shows another farm's sensors, or none. */
export function watchFarm(farm: string | undefined): void {
  if (farm === watched) return;
  watched = farm;
  loading.abort();
  latest.clear();
  dirty.clear();
  batch(() => {
    sensors.value = new Map();
    infos.value = new Map();
    listed.value = false;
    sensorsProblem.value = undefined;
  });
  if (farm === undefined) {
    live.stop();
    return;
  }
  loadList(farm);
  live.watch(farm);
}

/** How often a sensor is expected to report, ms. */
export function intervalOf(sensor: string): number {
  return (infos.value.get(sensor)?.interval ?? DEFAULT_INTERVAL_S) * 1000;
}

/** Where it stands, as far as the registry says. */
export function positionOf(sensor: string): Corner | undefined {
  return infos.value.get(sensor)?.position;
}

/** What the registry says of a sensor. */
export function infoOf(sensor: string): SensorInfo | undefined {
  return infos.value.get(sensor);
}

/** Fetches the list of sensors again: someone changed it. */
export function reloadSensors(): void {
  if (watched !== undefined) loadList(watched);
}

/** Whether the sensor is a bridge: it passes on other sensors' readings and has none of its own. */
export function isBridge(sensor: string): boolean {
  return infos.value.get(sensor)?.role === 'bridge';
}

/** Whether any sensor has ever reported, also one of which every reading was set aside because of its clock. */
export const anyReported = computed(() =>
  [...sensors.value.values()].some(
    ({ value: { values, condition } }) => values.size > 0 || condition.clock !== undefined,
  ),
);

function loadList(farm: string): void {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const work = async () => {
    const list = await getSensors(farm, signal);
    if (signal.aborted) return;
    const changed = latest.describe(list);
    batch(() => {
      infos.value = new Map(list.map((s) => [s.id, s]));
      listed.value = true;
      sensorsProblem.value = undefined;
    });
    show(changed);
  };
  void untilDone(work, {
    signal,
    onProblem: (problem) => {
      sensorsProblem.value = problem;
      if (problem.status === 401) void recheck();
    },
  });
}

/** Above this many sensors the page redraws at its beat instead of at every frame. */
const MANY_SENSORS = 100;

/** Redraws at most once a frame, however many messages come; a hidden page collects and draws when it is seen again. */
function show(changed: ReadonlySet<string>): void {
  for (const id of changed) dirty.add(id);
  if (dirty.size === 0 || flushing || sensors.peek().size > MANY_SENSORS) return;
  flushing = true;
  requestAnimationFrame(flush);
}

function flush(): void {
  flushing = false;
  batch(() => {
    const known = sensors.peek();
    const next = new Map(known);
    let moved = false;
    for (const id of dirty) {
      const view = latest.get(id);
      const shown = known.get(id);
      if (view === undefined) next.delete(id);
      else if (shown) {
        moved ||= shown.peek().field !== view.field || shown.peek().name !== view.name;
        shown.value = view;
      } else next.set(id, signal(view));
    }
    dirty.clear();
    if (!moved && next.size === known.size && [...next.keys()].every((id) => known.has(id))) return;
    sensors.value = next;
    // A sensor that reported before the list named it: the new list has its interval.
    const stranger = [...next.keys()].some((id) => !infos.peek().has(id));
    if (stranger && listed.peek() && watched !== undefined) loadList(watched);
  });
}
