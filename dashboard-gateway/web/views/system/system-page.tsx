import { type Check, getChecks, getFigures } from '../../api/system.ts';
import { formatMoment } from '../../format/time.ts';
import { formatValue } from '../../format/value.ts';
import { countOf } from '../../format/words.ts';
import { locale, slowNow } from '../../state/device.ts';
import { live } from '../../state/sensors.ts';
import { ToneIcon } from '../common/icons.tsx';
import { ProblemNotice } from '../common/notice.tsx';
import { useResource } from '../common/use-resource.ts';
import { figuresOf, partInWords } from './words.ts';

const EVERY_MS = 5_000;

/** Whether every part of Loam works, and what this gateway knows of rates and lag. */
export function SystemPage() {
  const checks = useResource('checks', getChecks, EVERY_MS);
  const figures = useResource('figures', getFigures, EVERY_MS);
  const problem = checks.problem.value;
  return (
    <div class="system-page">
      <header class="page-head">
        <h1>System</h1>
      </header>
      {problem && <ProblemNotice problem={problem} again={problem.passing} />}
      {checks.value.value && <Checks checks={checks.value.value} />}
      {figures.value.value && <Figures figures={figures.value.value} />}
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

function Checks({ checks }: { checks: readonly Check[] }) {
  const down = checks.filter((c) => !c.ok);
  return (
    <section aria-labelledby="parts">
      <p class={`headline ${down.length === 0 ? 'headline-fine' : 'headline-offline'}`} id="parts">
        <ToneIcon tone={down.length === 0 ? 'fine' : 'offline'} />
        {down.length === 0 ? 'Every part works' : `${countOf(down.length, 'part')} of ${checks.length} not working`}
      </p>
      <ul class="parts">
        {checks.map((check) => {
          const { name, what, without } = partInWords(check.name);
          return (
            <li key={check.name} class={`panel edge-${check.ok ? 'fine' : 'offline'}`} data-part={check.name}>
              <h2>
                <ToneIcon tone={check.ok ? 'fine' : 'offline'} />
                {name}
              </h2>
              <p class="quiet">{what}</p>
              {!check.ok && (
                <p>
                  <b>Not working{check.why ? `: ${check.why}.` : '.'}</b> {without}
                </p>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Figures({ figures }: { figures: Readonly<Record<string, unknown>> }) {
  const shown = figuresOf(figures);
  if (shown.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="figures">
      <h2 id="figures">Figures of this gateway</h2>
      <dl class="figures">
        {shown.map(({ label, value, unit }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              {typeof value === 'number' ? formatValue(value, undefined, locale) : value} {unit}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function lineInWords(): string {
  const { state } = live;
  slowNow.value;
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
      return `Offline since ${formatMoment(state.lostAt, slowNow.value, locale)}; trying again by itself.`;
    case 'refused':
      return `Refused: ${state.message || state.code}.`;
  }
}
