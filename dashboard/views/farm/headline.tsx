import { useComputed } from '@preact/signals';
import type { ApiFarm } from '../../api/shapes.ts';
import { countOf, type Tone } from '../../format/words.ts';
import { type FieldSensors, fields } from '../../state/fields.ts';
import type { Finding } from '../../state/findings.ts';
import { fieldOfSensor, findings, judged, newestValue, silent } from '../../state/health.ts';
import { addressOf } from '../../state/routes.ts';
import { connection, sensors } from '../../state/sensors.ts';
import { Age } from '../common/age.tsx';
import { ToneIcon } from '../common/icons.tsx';
import { rangeText, valueText } from '../common/value.tsx';

/** As many lines as can be read at a glance; the cards below have the rest. */
const MOST = 4;

interface Trouble {
  readonly key: string;
  readonly tone: Tone;
  readonly field: FieldSensors | undefined;
  readonly findings: readonly Finding[];
}

/** The answer to "is anything wrong, and where?". */
export function Headline({ farm }: { farm: ApiFarm }) {
  const troubles = useComputed(() => grouped(findings.value, fieldOfSensor.value, fields.value));
  if (!judged.value) return null;
  const waiting = connection.value.phase !== 'live' && newestValue.value === undefined;
  if (waiting) return <p class="headline headline-none">Waiting for values …</p>;
  if (troubles.value.length === 0) return <AllWell />;
  const { value } = troubles;
  const worst = value[0]?.tone ?? 'none';
  const places = new Set(value.map((t) => t.field?.id)).size;
  return (
    <section class={`headline headline-${worst}`} aria-labelledby="headline">
      <h2 id="headline">
        <ToneIcon tone={worst} />
        {places === 1 ? `${value[0]?.field?.name ?? 'One field'} needs a look` : `${places} fields need a look`}
      </h2>
      <ul class="troubles">
        {value.slice(0, MOST).map((t) => (
          <li key={t.key}>
            <TroubleLine farm={farm} trouble={t} />
          </li>
        ))}
      </ul>
      {value.length > MOST && <p class="quiet">and {value.length - MOST} more below</p>}
    </section>
  );
}

function AllWell() {
  return (
    <section class="headline headline-fine" aria-labelledby="headline">
      <h2 id="headline">
        <ToneIcon tone="fine" />
        All is well
      </h2>
      <p>
        {countOf(sensors.value.size - silent.value, 'sensor')} reporting, every value in its range.
        {silent.value > 0 && ` ${countOf(silent.value, 'sensor')} not heard of yet.`}
        {newestValue.value !== undefined && (
          <>
            {' '}
            Newest value: <Age ts={newestValue.value} />.
          </>
        )}
      </p>
    </section>
  );
}

function TroubleLine({ farm, trouble }: { farm: ApiFarm; trouble: Trouble }) {
  const { field, findings: found, tone } = trouble;
  const [first] = found;
  if (first === undefined) return null;
  const alone = found.length === 1;
  const to =
    alone || field === undefined
      ? addressOf({ page: 'sensor', farm: farm.id, sensor: first.sensor, range: { last: '24h' } })
      : addressOf({ page: 'field', farm: farm.id, field: field.id, metric: first.metric, range: { last: '24h' } });
  const name = sensors.value.get(first.sensor)?.peek().name ?? first.sensor;
  return (
    <a class="trouble" href={to}>
      <ToneIcon tone={tone} />
      <span class="trouble-place">
        {field?.name}
        {alone && <span class="trouble-sensor"> · {name}</span>}
      </span>
      <span class={`trouble-words tone-${tone}`}>
        {alone ? first.words : `${countOf(found.length, 'sensor')} ${wordsOfSeveral(first)}`}
      </span>
      <Detail finding={first} alone={alone} />
    </a>
  );
}

function wordsOfSeveral({ kind, words }: Finding): string {
  return kind === 'clock' ? 'with a wrong clock' : words.toLowerCase();
}

function Detail({ finding, alone }: { finding: Finding; alone: boolean }) {
  const { metric, value, lastSeen, more, refusedAt } = finding;
  if (alone && refusedAt !== undefined) {
    return (
      <span class="trouble-detail quiet">
        <Age ts={refusedAt} /> {more}
      </span>
    );
  }
  if (alone && more !== undefined) return <span class="trouble-detail quiet">{more}</span>;
  if (alone && metric !== undefined && value !== undefined) {
    const range = rangeText(metric);
    return (
      <span class="trouble-detail">
        <b>{valueText(metric, value)}</b>
        {range && <span class="quiet"> should be {range}</span>}
      </span>
    );
  }
  if (alone && lastSeen !== undefined) {
    return (
      <span class="trouble-detail quiet">
        last heard <Age ts={lastSeen} />
      </span>
    );
  }
  return null;
}

/** One line for each kind of trouble of a field, worst first: forty dry sensors are one line. */
function grouped(
  all: readonly Finding[],
  placeOf: ReadonlyMap<string, string>,
  known: readonly FieldSensors[],
): Trouble[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of all) {
    const key = `${placeOf.get(finding.sensor)} ${finding.kind} ${finding.metric}`;
    const group = groups.get(key) ?? [];
    group.push(finding);
    groups.set(key, group);
  }
  return [...groups].map(([key, found]) => ({
    key,
    tone: found[0]?.tone ?? 'none',
    field: known.find((f) => f.id === placeOf.get(found[0]?.sensor ?? '')),
    findings: found,
  }));
}
