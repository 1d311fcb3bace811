import { type Dependency, getSystem, type ShownFigure, type System } from '../../api/system.ts';
import { formatMoment } from '../../format/time.ts';
import { formatValue } from '../../format/value.ts';
import { countOf, type Tone } from '../../format/words.ts';
import { locale, slowNow } from '../../state/device.ts';
import { farm, zone } from '../../state/farms.ts';
import { addressOf } from '../../state/routes.ts';
import { connection, live } from '../../state/sensors.ts';
import { Age } from '../common/age.tsx';
import { ToneIcon } from '../common/icons.tsx';
import { ProblemNotice } from '../common/notice.tsx';
import { useResource } from '../common/use-resource.ts';
import { partInWords } from './words.ts';

const EVERY_MS = 5_000;

/** Whether every part of Loam works, and what this gateway knows of rates and lag. */
export function SystemPage() {
  const { value, problem } = useResource('system', getSystem, EVERY_MS);
  return (
    <div class="system-page">
      <header class="page-head">
        <h1>System</h1>
        {value.value && <Version system={value.value} />}
        {farm.value?.role === 'admin' && (
          <p>
            <a href={addressOf({ page: 'events', farm: farm.value.id })}>Events: who did what, and who was refused</a>
          </p>
        )}
      </header>
      {problem.value && <ProblemNotice problem={problem.value} again={problem.value.passing} />}
      {value.value === undefined && !problem.value && <p class="quiet loading">Asking …</p>}
      {value.value && <Parts parts={value.value.parts} />}
      {value.value && <Figures figures={value.value.figures} />}
      <section class="panel" aria-labelledby="line">
        <h2 id="line">This page’s line</h2>
        <p>{lineInWords()}</p>
        {live.unreadable > 0 && (
          <p class="quiet">
            {countOf(live.unreadable, 'message')} could not be understood: reload this page after an update of Loam.
          </p>
        )}
      </section>
    </div>
  );
}

function Version({ system: { version, startedAt } }: { system: System }) {
  return (
    <p class="quiet">
      {version && `Loam ${version}`}
      {version && startedAt && ', '}
      {startedAt && (
        <>
          started <Age ts={startedAt} />
        </>
      )}
    </p>
  );
}

function Parts({ parts }: { parts: readonly Dependency[] }) {
  const shown = merged(parts);
  const down = shown.filter((part) => toneOf(part) === 'offline');
  const unwell = shown.filter((part) => toneOf(part) === 'late');
  const tone = down.length > 0 ? 'offline' : unwell.length > 0 ? 'late' : 'fine';
  return (
    <section aria-labelledby="parts">
      <h2 class={`headline headline-${tone}`} id="parts">
        <ToneIcon tone={tone} />
        {summary(down.length, unwell.length, shown.length)}
      </h2>
      <ul class="parts">
        {shown.map((part) => {
          const { name, what, without } = partInWords(part.name);
          return (
            <li key={part.name} class={`panel edge-${toneOf(part)}`} data-part={part.name}>
              <h3>
                <ToneIcon tone={toneOf(part)} />
                {name}
              </h3>
              <p class="quiet">{what}</p>
              {!part.ok && (
                <p>
                  <b>
                    {part.optional ? 'Needs a look' : 'Not working'}
                    {part.why ? `: ${part.why}.` : '.'}
                  </b>{' '}
                  {without}
                </p>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function toneOf({ ok, optional }: Dependency): Tone {
  return ok ? 'fine' : optional ? 'late' : 'offline';
}

function summary(down: number, unwell: number, all: number): string {
  if (down > 0) return `${down} of ${all} parts not working`;
  return unwell === 0 ? 'Every part works' : `Every part works; ${countOf(unwell, 'needs', 'need')} a look`;
}

/** Several roles in one process each report what they share: people need each part once, in its worst state. */
function merged(parts: readonly Dependency[]): Dependency[] {
  const byName = new Map<string, Dependency>();
  for (const part of parts) {
    const { name } = partInWords(part.name);
    const before = byName.get(name);
    const isWorse = before === undefined || before.ok || (before.optional && toneOf(part) === 'offline');
    if (isWorse) byName.set(name, part);
  }
  return [...byName.values()];
}

function Figures({ figures }: { figures: readonly ShownFigure[] }) {
  if (figures.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="figures">
      <h2 id="figures">Figures of this gateway</h2>
      <dl class="figures">
        {figures.map(({ label, value, unit }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              {typeof value === 'number' ? formatValue(value, undefined, locale) : value}
              {unit && <span class="unit">{unit}</span>}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function lineInWords(): string {
  const state = connection.value;
  switch (state.phase) {
    case 'idle':
      return 'No farm is followed at the moment.';
    case 'connecting':
      return 'Connecting.';
    case 'catching-up':
      return state.storeAway ? 'Connected; the values wait for the store.' : 'Connected, catching up.';
    case 'live':
      return state.tickMs === undefined || state.tickMs <= 200
        ? 'Live: values show as they arrive.'
        : `Live, but slow: news come every ${(state.tickMs / 1000).toFixed(1)} s.`;
    case 'waiting':
      return `Offline since ${formatMoment(state.lostAt, slowNow.value, locale, zone.value)}; trying again by itself.`;
    case 'refused':
      return `Refused: ${state.message || state.code}.`;
  }
}
