import { useComputed, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { heldFor } from '../../../telemetry/field-value.ts';
import { type ApiProblem, asProblem } from '../../api/problem.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { formatDay } from '../../format/time.ts';
import { dateOf, fromInput, startOfDay } from '../../format/zone.ts';
import { loadDay, STEP_MS, type Tracks } from '../../state/day.ts';
import { locale, now } from '../../state/device.ts';
import { inOrder, metricOf } from '../../state/farms.ts';
import { fields } from '../../state/fields.ts';
import { go } from '../../state/router.ts';
import { intervalOf, sensors } from '../../state/sensors.ts';
import { Glyph } from '../common/icons.tsx';
import { ProblemNotice } from '../common/notice.tsx';
import { DayChart } from './day-chart.tsx';
import { DayPlan } from './day-plan.tsx';
import { Player } from './player.tsx';

/** Sensors whose day is read one by one, while it can be played already; a larger farm plays back the first of them. */
const MOST_SENSORS = 2_000;

interface PlaybackProps {
  readonly farm: ApiFarm;
  readonly day: string | undefined;
  readonly metric: string | undefined;
}

/** A day of the farm, played back at a chosen speed on plan and chart together. */
export function PlaybackPage({ farm, day, metric: asked }: PlaybackProps) {
  const zone = farm.timezone;
  const metrics = useComputed(() => {
    const found = new Set<string>();
    for (const view of sensors.value.values()) for (const m of view.value.values.keys()) found.add(m);
    return inOrder(found).join(' ');
  });
  const ids = metrics.value === '' ? [] : metrics.value.split(' ');
  const metric = asked ?? ids[0];
  const today = dateOf(now.peek(), zone);
  const date = day ?? today;
  const from = fromInput(date, zone) ?? startOfDay(now.peek(), zone);
  const end = startOfDay(from + 36 * 3_600_000, zone);
  const to = Math.min(end, Math.max(from + 60_000, Math.floor(now.peek() / 60_000) * 60_000));
  const show = (change: { day?: string; metric?: string }) =>
    go({ page: 'playback', farm: farm.id, day: date, metric, ...change });
  const step = (days: number) => show({ day: dateOf(from + (days * 24 + 12) * 3_600_000, zone) });
  return (
    <div class="playback-page">
      <header class="page-head page-head-row">
        <h1>Playback</h1>
        <p class="quiet">{formatDay(from, locale, zone)}</p>
      </header>
      <div class="toolbar">
        <div class="segments">
          <button type="button" aria-label="The day before" title="The day before" onClick={() => step(-1)}>
            <Glyph name="back" />
          </button>
          <input
            type="date"
            aria-label="Day"
            value={date}
            max={today}
            onChange={(event) => event.currentTarget.value && show({ day: event.currentTarget.value })}
          />
          <button
            type="button"
            aria-label="The day after"
            title="The day after"
            disabled={date >= today}
            onClick={() => step(1)}
          >
            <Glyph name="forward" />
          </button>
        </div>
        {metric !== undefined && (
          <select aria-label="Metric" value={metric} onChange={(event) => show({ metric: event.currentTarget.value })}>
            {ids.map((id) => (
              <option key={id} value={id}>
                {metricOf(id).label}
              </option>
            ))}
          </select>
        )}
      </div>
      {metric === undefined ? (
        <p class="quiet">No sensor has reported yet: there is nothing to play back.</p>
      ) : (
        <Day key={`${date} ${metric}`} farm={farm} metric={metric} from={from} to={to} />
      )}
    </div>
  );
}

interface DayProps {
  readonly farm: ApiFarm;
  readonly metric: string;
  readonly from: number;
  readonly to: number;
}

const NO_TRACKS: Tracks = new Map();

function Day({ farm, metric, from, to }: DayProps) {
  const at = useSignal(from);
  const means = useSignal<Tracks | undefined>(undefined);
  const tracks = useSignal<Tracks>(NO_TRACKS);
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const measures = (id: string) => sensors.value.get(id)?.value.values.has(metric) ?? false;
  // Values come a moment after the page, and which sensors have some changes seldom then.
  const measuring = useComputed(() => idsOf(fields.value.filter((f) => f.sensors.some(measures)).map((f) => f.id)));
  const chosen = useComputed(() =>
    idsOf(fields.value.flatMap((f) => f.sensors.filter(measures)).slice(0, MOST_SENSORS)),
  );
  const asked = { fields: measuring.value, sensors: chosen.value };
  useEffect(() => {
    const stop = new AbortController();
    const query = { farm: farm.id, metric, from, to };
    const load = async () => {
      try {
        // The fields' means are few: with them the day can be played at once, and sensor by sensor as these come.
        await loadDay(query, 'field', listOf(asked.fields), stop.signal, (come) => {
          means.value = come;
        });
        await loadDay(query, 'sensor', listOf(asked.sensors), stop.signal, (come) => {
          tracks.value = come;
        });
      } catch (error) {
        if (!stop.signal.aborted) problem.value = asProblem(error);
      }
    };
    void load();
    return () => stop.abort();
  }, [asked.fields, asked.sensors]);
  const count = listOf(asked.sensors).length;
  if (means.value === undefined && problem.value) return <ProblemNotice problem={problem.value} />;
  if (means.value === undefined) {
    return (
      <p class="quiet loading" role="status">
        Reading the day …
      </p>
    );
  }
  if ([...means.value.values()].every((track) => track.empty)) {
    return <p class="notice">No values of {metricOf(metric).label.toLowerCase()} on this day. Choose another one.</p>;
  }
  const goodFor = (sensor: string) => heldFor(Math.max(intervalOf(sensor), STEP_MS));
  return (
    <>
      <Player at={at} from={from} to={to} zone={farm.timezone} />
      {problem.value && <ProblemNotice problem={problem.value} />}
      <DayPlan {...{ farm, metric, at, goodFor }} tracks={tracks.value} means={means.value} />
      <DayChart key={asked.fields} {...{ farm, metric, from, to, at }} of={listOf(asked.fields)} />
      {tracks.value.size < count && !problem.value && (
        <p class="quiet" role="status">
          Fields are shown by their means until all sensors are read: {tracks.value.size} of {count}.
        </p>
      )}
      {count === MOST_SENSORS && (
        <p class="quiet">The plan shows the first {MOST_SENSORS} sensors; the chart has all of them.</p>
      )}
    </>
  );
}

/** Ids as one text, which is equal when they are: an id has no space. */
function idsOf(ids: readonly string[]): string {
  return ids.join(' ');
}

function listOf(ids: string): string[] {
  return ids === '' ? [] : ids.split(' ');
}
