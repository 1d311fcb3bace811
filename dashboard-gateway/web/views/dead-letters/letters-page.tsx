import { useSignal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { actOnLetter, getLetters, type Letter } from '../../api/letters.ts';
import type { Farm } from '../../api/shapes.ts';
import { formatMoment } from '../../format/time.ts';
import { countOf } from '../../format/words.ts';
import { locale, slowNow } from '../../state/device.ts';
import { addressOf } from '../../state/routes.ts';
import { sensors } from '../../state/sensors.ts';
import { Confirm } from '../common/dialog.tsx';
import { inWords } from '../common/form.tsx';
import { Notice, ProblemNotice } from '../common/notice.tsx';
import { useResource } from '../common/use-resource.ts';
import { reasonInWords } from './reasons.ts';

const EVERY_MS = 15_000;

/** What came in and could not be taken: why, what it was, and a second try. */
export function LettersPage({ farm }: { farm: Farm }) {
  if (farm.role !== 'admin') {
    return (
      <Notice title="Only an administrator sees dead letters">
        <p>
          They hold what sensors sent, as it came.{' '}
          <a href={addressOf({ page: 'farm', farm: farm.id })}>Back to {farm.name}</a>
        </p>
      </Notice>
    );
  }
  return <Letters key={farm.id} farm={farm} />;
}

function Letters({ farm }: { farm: Farm }) {
  const { value, problem, reload } = useResource(`letters ${farm.id}`, (s) => getLetters(farm.id, s), EVERY_MS);
  const said = useSignal('');
  const letters = value.value;
  return (
    <div class="letters-page">
      <header class="page-head">
        <h1>Dead letters</h1>
        <p class="quiet">
          Messages that were taken in and could not be read. None is lost: mend the cause, then replay them, and they go
          the whole way again.
        </p>
      </header>
      {problem.value && <ProblemNotice problem={problem.value} again={problem.value.passing} />}
      <p role="status" class={said.value ? 'form-done' : 'hidden'}>
        {said.value}
      </p>
      {letters === undefined && !problem.value && <p class="quiet loading">Loading …</p>}
      {letters?.length === 0 && (
        <Notice title="No dead letters">
          <p>Everything that came in from {farm.name} could be read.</p>
        </Notice>
      )}
      {letters !== undefined && letters.length > 0 && (
        <>
          <p class="quiet">{countOf(letters.length, 'message')}, newest first.</p>
          <ol class="letters">
            {letters.map((letter) => (
              <LetterCard
                key={letter.offset}
                farm={farm}
                letter={letter}
                done={(words) => {
                  said.value = words;
                  reload();
                }}
              />
            ))}
          </ol>
        </>
      )}
    </div>
  );
}

interface LetterProps {
  readonly farm: Farm;
  readonly letter: Letter;
  readonly done: (words: string) => void;
}

function LetterCard({ farm, letter, done }: LetterProps) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const [asking, setAsking] = useState(false);
  const { offset, at, sensor, topic, reason, explanation, payload } = letter;
  const name = sensor === undefined ? undefined : (sensors.value.get(sensor)?.peek().name ?? sensor);
  const act = async (what: 'replay' | 'discard', words: string) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await actOnLetter(farm.id, offset, what);
      done(words);
    } catch (error) {
      setFailure(inWords(error));
    }
    setBusy(false);
    setAsking(false);
  };
  return (
    <li class="letter" data-letter={offset}>
      <header class="letter-head">
        <h2>{reasonInWords(reason)}</h2>
        <p class="quiet">
          {sensor !== undefined && (
            <a href={addressOf({ page: 'sensor', farm: farm.id, sensor, range: { last: '24h' } })}>{name}</a>
          )}{' '}
          {formatMoment(at, slowNow.value, locale)}
        </p>
      </header>
      {explanation && <p>{explanation}</p>}
      <details>
        <summary>What was sent</summary>
        {topic && <p class="quiet">to {topic}</p>}
        <pre class="payload">{payload === '' ? '(nothing)' : payload}</pre>
      </details>
      {failure && (
        <p class="form-failure" role="alert">
          {failure}
        </p>
      )}
      <div class="buttons">
        <button
          type="button"
          class="button-main"
          disabled={busy}
          onClick={() =>
            void act('replay', 'Replayed: it goes the whole way again. If it still cannot be read, it comes back here.')
          }
        >
          Replay
        </button>
        <button type="button" disabled={busy} onClick={() => setAsking(true)}>
          Discard
        </button>
      </div>
      {asking && (
        <Confirm
          title="Discard this message?"
          act="Discard"
          busy={busy}
          failure={failure}
          onAct={() => void act('discard', 'Discarded.')}
          onClose={() => setAsking(false)}
        >
          <p>It is the only copy of what the sensor sent.</p>
        </Confirm>
      )}
    </li>
  );
}
