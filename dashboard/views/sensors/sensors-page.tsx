import { type Signal, useSignal } from '@preact/signals';
import { useState } from 'preact/hooks';
import type { SensorView } from '../../../client/latest.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { formatValue } from '../../format/value.ts';
import { countOf } from '../../format/words.ts';
import { locale } from '../../state/device.ts';
import { fieldOfSensor, toneOfSensor } from '../../state/health.ts';
import { addressOf } from '../../state/routes.ts';
import { infoOf, sensors } from '../../state/sensors.ts';
import { Age } from '../common/age.tsx';
import { clockInShort } from '../common/clock.tsx';
import { NoSensor } from '../common/empty.tsx';
import { Glyph } from '../common/icons.tsx';
import { StateMark } from '../common/tone.tsx';
import { valueText } from '../common/value.tsx';
import { type Task, Tasks } from './tasks.tsx';

/** Rows beyond this many are drawn on request. */
const STEP = 100;
const BATTERY = ['battery', 'battery_level', 'battery_percent', 'battery_voltage', 'battery_v'];
const SIGNAL = ['rssi', 'signal', 'signal_strength'];

const SORTS = { name: 'Name', field: 'Field', state: 'State', seen: 'Last seen' } as const;
type Sort = keyof typeof SORTS;

/** Every sensor of the farm and how it is; an admin adds, replaces and removes them here. */
export function SensorsPage({ farm }: { farm: ApiFarm }) {
  const task = useSignal<Task | undefined>(undefined);
  const [search, setSearch] = useState('');
  const [sort, setSort] = useState<Sort>('name');
  const [limit, setLimit] = useState(STEP);
  const admin = farm.role === 'admin';
  const all = [...sensors.value];
  const found = sorted(
    farm,
    all.filter(([id, view]) => matches(farm, id, view, search)),
    sort,
  );
  const typed = (event: Event) => {
    if (event.currentTarget instanceof HTMLInputElement) setSearch(event.currentTarget.value);
  };
  const chosen = (event: Event) => {
    const { currentTarget } = event;
    if (currentTarget instanceof HTMLSelectElement) setSort(isSort(currentTarget.value) ? currentTarget.value : 'name');
  };
  return (
    <div class="sensors-page">
      <header class="page-head page-head-row">
        <h1>Sensors</h1>
        {admin && (
          <button
            type="button"
            class="button-main"
            onClick={() => {
              task.value = { kind: 'add' };
            }}
          >
            <Glyph name="plus" />
            Add a sensor
          </button>
        )}
      </header>
      <Tasks farm={farm} task={task} />
      {all.length === 0 ? (
        <NoSensor farm={farm.id} admin={admin} />
      ) : (
        <>
          <div class="toolbar">
            <label class="search">
              <span class="hidden">Search sensors</span>
              <input type="search" placeholder="Name, id or field" value={search} onInput={typed} />
            </label>
            <label class="sorting">
              <span class="quiet">Sort by</span>
              <select value={sort} onChange={chosen}>
                {Object.entries(SORTS).map(([id, label]) => (
                  <option key={id} value={id}>
                    {label}
                  </option>
                ))}
              </select>
            </label>
            <p class="quiet" role="status">
              {search ? `${found.length} of ${countOf(all.length, 'sensor')}` : countOf(all.length, 'sensor')}
            </p>
          </div>
          <table class="table sensors-table">
            <thead>
              <tr>
                <th scope="col">Sensor</th>
                <th scope="col">Field</th>
                <th scope="col">State</th>
                <th scope="col">Last seen</th>
                <th scope="col">Battery</th>
                <th scope="col">Signal</th>
                <th scope="col">Clock</th>
                <th scope="col">Refused</th>
                {admin && (
                  <th scope="col">
                    <span class="hidden">Actions</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {found.slice(0, limit).map(([id, view]) => (
                <Row key={id} farm={farm} id={id} view={view} task={task} />
              ))}
            </tbody>
          </table>
          {found.length === 0 && <p class="quiet">No sensor matches “{search}”.</p>}
          {found.length > limit && (
            <button type="button" class="more" onClick={() => setLimit(limit + STEP)}>
              Show {Math.min(STEP, found.length - limit)} more
            </button>
          )}
        </>
      )}
    </div>
  );
}

type SensorEntry = readonly [string, Signal<SensorView>];

function isSort(text: string): text is Sort {
  return Object.hasOwn(SORTS, text);
}

function matches(farm: ApiFarm, id: string, view: Signal<SensorView>, search: string): boolean {
  const { name, field } = view.peek();
  return `${id} ${name} ${fieldName(farm, field)}`.toLowerCase().includes(search.trim().toLowerCase());
}

const STATE_ORDER = ['offline', 'late', 'never', 'online'];

function sorted(farm: ApiFarm, entries: SensorEntry[], sort: Sort): SensorEntry[] {
  const name = ([, view]: SensorEntry) => view.peek().name;
  const byName = (a: SensorEntry, b: SensorEntry) => name(a).localeCompare(name(b), undefined, { numeric: true });
  const field = ([, view]: SensorEntry) => fieldName(farm, view.peek().field);
  const state = ([, view]: SensorEntry) => STATE_ORDER.indexOf(view.peek().state);
  const seen = ([, view]: SensorEntry) => view.peek().lastSeen ?? 0;
  const first: Record<Sort, (a: SensorEntry, b: SensorEntry) => number> = {
    name: byName,
    field: (a, b) => field(a).localeCompare(field(b)),
    state: (a, b) => state(a) - state(b),
    seen: (a, b) => seen(a) - seen(b),
  };
  return entries.sort((a, b) => first[sort](a, b) || byName(a, b));
}

function fieldName(farm: ApiFarm, field: string | undefined): string {
  return farm.fields.find((f) => f.id === field)?.name ?? '–';
}

interface RowProps {
  readonly farm: ApiFarm;
  readonly id: string;
  readonly view: Signal<SensorView>;
  readonly task: Signal<Task | undefined>;
}

function Row({ farm, id, view: signalOf, task }: RowProps) {
  const view = signalOf.value;
  const { refused, firmware } = view.condition;
  const field = fieldOfSensor.value.get(id);
  const lastSeen = lastSeenOf(view);
  const begin = (kind: 'edit' | 'secret' | 'remove') => {
    task.value = { kind, sensor: id };
  };
  return (
    <tr data-sensor-line={id} class={`row-${toneOfSensor(id).value}`}>
      <th scope="row">
        <a href={addressOf({ page: 'sensor', farm: farm.id, sensor: id, range: { last: '24h' } })}>{view.name}</a>
        {view.name !== id && <span class="quiet sub">{id}</span>}
        {infoOf(id)?.role === 'bridge' && <span class="quiet sub">bridge</span>}
        {firmware && <span class="quiet sub">firmware {firmware}</span>}
      </th>
      <td data-label="Field">{fieldName(farm, field)}</td>
      <td data-label="State">
        <StateMark view={{ ...view, lastSeen: undefined }} />
      </td>
      <td data-label="Last seen">{lastSeen ?? '–'}</td>
      <td data-label="Battery">{ownValue(view, BATTERY, view.condition.battery)}</td>
      <td data-label="Signal">{ownValue(view, SIGNAL, view.condition.signal)}</td>
      <td data-label="Clock">{clockInShort(view.condition)}</td>
      <td data-label="Refused">
        {refused === undefined || refused === 0 ? (
          (refused ?? '–')
        ) : farm.role === 'admin' ? (
          <a href={addressOf({ page: 'dead-letters', farm: farm.id })}>{refused}</a>
        ) : (
          refused
        )}
      </td>
      {farm.role === 'admin' && (
        <td class="row-actions">
          <button type="button" aria-label={`Change ${view.name}`} onClick={() => begin('edit')}>
            Change
          </button>
          <button type="button" aria-label={`Replace ${view.name}`} onClick={() => begin('secret')}>
            Replace
          </button>
          <button type="button" aria-label={`Remove ${view.name}`} onClick={() => begin('remove')}>
            Remove
          </button>
        </td>
      )}
    </tr>
  );
}

/** By when the gateway last received something, or, newer, by the time of the newest value on screen. */
function lastSeenOf(view: SensorView) {
  const newest = [...view.values.values()].reduce<number>((max, [ts]) => Math.max(max, ts), view.lastSeen ?? 0);
  return newest > 0 ? <Age ts={newest} /> : undefined;
}

function ownValue(view: SensorView, names: readonly string[], told: number | undefined): string {
  for (const metric of names) {
    const measured = view.values.get(metric);
    if (measured) return valueText(metric, measured[1]);
  }
  return told === undefined ? '–' : formatValue(told, 0, locale);
}
