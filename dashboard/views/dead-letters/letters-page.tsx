import { useSignal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { getLetters, LETTER_STATES, type Letter, type ShownLetterState, type Whose } from '../../api/letters.ts';
import { asProblem } from '../../api/problem.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { addressOf } from '../../state/routes.ts';
import { inWords } from '../common/form.tsx';
import { Notice, ProblemNotice } from '../common/notice.tsx';
import { useResource } from '../common/use-resource.ts';
import { LetterCard } from './letter-card.tsx';

const EVERY_MS = 15_000;

const STATE_WORDS: Record<ShownLetterState, string> = { open: 'Open', replayed: 'Replayed', discarded: 'Discarded' };

/** Dead letters: why each publish could not be taken, what it was, and a way to replay it. */
export function LettersPage({ farm }: { farm: ApiFarm }) {
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

function Letters({ farm }: { farm: ApiFarm }) {
  const [state, setState] = useState<ShownLetterState>('open');
  const [nobodys, setNobodys] = useState(false);
  const whose = nobodys ? undefined : farm.id;
  const { value, problem, reload } = useResource(
    `letters ${whose} ${state}`,
    (signal) => getLetters(whose, { state }, signal),
    EVERY_MS,
  );
  const said = useSignal('');
  const page = value.value;
  const done = (words: string) => {
    said.value = words;
    reload();
  };
  return (
    <div class="letters-page">
      <header class="page-head">
        <h1>Dead letters</h1>
        <p class="quiet">
          Messages that were taken in and could not be read. None is lost: mend the cause, then replay them, and they go
          the whole way again.
        </p>
      </header>
      {page?.warning && <p class="banner banner-late">{page.warning}</p>}
      {problem.value && <ProblemNotice problem={problem.value} again={problem.value.passing} />}
      <p role="status" class={said.value ? 'form-done' : 'hidden'}>
        {said.value}
      </p>
      <WhoseLetters farm={farm} {...{ nobodys, setNobodys }} />
      {page && (
        <fieldset class="segments letter-states" aria-label="Which letters">
          {LETTER_STATES.map((s) => (
            <button key={s} type="button" aria-pressed={s === state} onClick={() => setState(s)}>
              {STATE_WORDS[s]} {page.counts[s]}
            </button>
          ))}
        </fieldset>
      )}
      {page === undefined && !problem.value && <p class="quiet loading">Loading …</p>}
      {page?.letters.length === 0 && <Nothing from={nobodys ? 'the queue' : farm.name} state={state} />}
      {page !== undefined && page.letters.length > 0 && (
        <>
          <LetterList whose={whose} letters={page.letters} done={done} />
          {page.next !== undefined && <Older key={page.next} {...{ whose, state, done }} before={page.next} />}
        </>
      )}
    </div>
  );
}

interface WhoseProps {
  readonly farm: ApiFarm;
  readonly nobodys: boolean;
  readonly setNobodys: (chosen: boolean) => void;
}

/** The choice between the farm's letters and those of no farm; only for users to whom the gateway gives the latter. */
function WhoseLetters({ farm, nobodys, setNobodys }: WhoseProps) {
  const { value } = useResource('letters of nobody', (signal) => getLetters(undefined, { state: 'open' }, signal));
  const { open = 0, replayed = 0, discarded = 0 } = value.value?.counts ?? {};
  if (open + replayed + discarded === 0) return null;
  return (
    <fieldset class="segments letter-states" aria-label="Whose letters">
      <button type="button" aria-pressed={!nobodys} onClick={() => setNobodys(false)}>
        {farm.name}
      </button>
      <button
        type="button"
        aria-pressed={nobodys}
        title="Messages in the queue that cannot be read at all: whose they were is not known"
        onClick={() => setNobodys(true)}
      >
        Of no farm
      </button>
    </fieldset>
  );
}

function Nothing({ from, state }: { from: string; state: ShownLetterState }) {
  if (state !== 'open') return <p class="quiet">None is {STATE_WORDS[state].toLowerCase()}.</p>;
  return (
    <Notice title="No open dead letter">
      <p>Everything that came in from {from} could be read, or was settled.</p>
    </Notice>
  );
}

interface ListProps {
  readonly whose: Whose;
  readonly letters: readonly Letter[];
  readonly done: (words: string) => void;
}

function LetterList({ whose, letters, done }: ListProps) {
  return (
    <ol class="letters">
      {letters.map((letter) => (
        <LetterCard key={letter.offset} whose={whose} letter={letter} done={done} />
      ))}
    </ol>
  );
}

interface OlderProps {
  readonly whose: Whose;
  readonly state: ShownLetterState;
  readonly before: number;
  readonly done: (words: string) => void;
}

/** The pages after the first, fetched one by one. */
function Older({ whose, state, before, done }: OlderProps) {
  const [letters, setLetters] = useState<readonly Letter[]>([]);
  const [next, setNext] = useState<number | undefined>(before);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const more = async () => {
    if (next === undefined) return;
    setFailure(undefined);
    try {
      const page = await getLetters(whose, { state, before: next }, new AbortController().signal);
      setLetters([...letters, ...page.letters]);
      setNext(page.next);
    } catch (error) {
      setFailure(inWords(asProblem(error)));
    }
  };
  return (
    <>
      <LetterList whose={whose} letters={letters} done={done} />
      {failure && (
        <p class="form-failure" role="alert">
          {failure}
        </p>
      )}
      {next !== undefined && (
        <button type="button" class="more" onClick={() => void more()}>
          Older ones
        </button>
      )}
    </>
  );
}
