import { useState } from 'preact/hooks';
import { type EventsAnswer, getEvents, type ShownEvent } from '../../api/events.ts';
import type { Whose } from '../../api/letters.ts';
import { asProblem } from '../../api/problem.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { formatMoment } from '../../format/time.ts';
import { locale, slowNow } from '../../state/device.ts';
import { addressOf } from '../../state/routes.ts';
import { inWords } from '../common/form.tsx';
import { Notice, ProblemNotice } from '../common/notice.tsx';
import { useResource } from '../common/use-resource.ts';
import { EVENT_CHOICES, eventLines, eventTitle } from './event-words.ts';

const EVERY_MS = 15_000;

/** What people did, what was changed and overwritten, and who was refused. */
export function EventsPage({ farm }: { farm: ApiFarm }) {
  if (farm.role !== 'admin') {
    return (
      <Notice title="Only an administrator sees events">
        <p>
          They tell who did what. <a href={addressOf({ page: 'farm', farm: farm.id })}>Back to {farm.name}</a>
        </p>
      </Notice>
    );
  }
  return <Events key={farm.id} farm={farm} />;
}

function Events({ farm }: { farm: ApiFarm }) {
  const [choice, setChoice] = useState(0);
  const [text, setText] = useState('');
  const [everywhere, setEverywhere] = useState(false);
  const whose = everywhere ? undefined : farm.id;
  const wanted = { kinds: EVENT_CHOICES[choice]?.kinds ?? [], text };
  const { value, problem } = useResource(
    `events ${whose} ${choice} ${text}`,
    (signal) => getEvents(whose, wanted, signal),
    EVERY_MS,
  );
  const page = value.value;
  return (
    <div class="letters-page events-page">
      <header class="page-head">
        <h1>Events</h1>
        <p class="quiet">
          What people did, what was changed and overwritten, and which devices and sign-ins were refused, newest first.
          Kept for a year; refusals for 30 days.
        </p>
      </header>
      {problem.value && <ProblemNotice problem={problem.value} again={problem.value.passing} />}
      <Scope farm={farm} {...{ everywhere, setEverywhere }} />
      <div class="event-filters">
        <fieldset class="segments letter-states" aria-label="Which events">
          {EVENT_CHOICES.map(({ words }, i) => (
            <button key={words} type="button" aria-pressed={i === choice} onClick={() => setChoice(i)}>
              {words}
            </button>
          ))}
        </fieldset>
        <Search onSearch={setText} />
      </div>
      {page === undefined && !problem.value && <p class="quiet loading">Loading …</p>}
      {page && <Pages key={`${whose} ${choice} ${text}`} {...{ farm, whose, wanted, page }} />}
    </div>
  );
}

/** The choice between the farm's events and all of them; only for users to whom the gateway gives the latter. */
function Scope({ farm, everywhere, setEverywhere }: ScopeProps) {
  const { value } = useResource('events of all', (signal) => getEvents(undefined, { kinds: [], text: '' }, signal));
  if (value.value === undefined) return null;
  return (
    <fieldset class="segments letter-states" aria-label="Whose events">
      <button type="button" aria-pressed={!everywhere} onClick={() => setEverywhere(false)}>
        {farm.name}
      </button>
      <button type="button" aria-pressed={everywhere} onClick={() => setEverywhere(true)}>
        Whole installation
      </button>
    </fieldset>
  );
}

interface ScopeProps {
  readonly farm: ApiFarm;
  readonly everywhere: boolean;
  readonly setEverywhere: (chosen: boolean) => void;
}

function Search({ onSearch }: { onSearch: (text: string) => void }) {
  const [typed, setTyped] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    onSearch(typed.trim());
  };
  const input = (event: Event) => {
    if (!(event.currentTarget instanceof HTMLInputElement)) return;
    setTyped(event.currentTarget.value);
    if (event.currentTarget.value === '') onSearch('');
  };
  return (
    <form class="search event-search" onSubmit={submit}>
      <input
        type="search"
        aria-label="Search for a name, an address or a reason"
        placeholder="Name, address or reason"
        maxLength={100}
        value={typed}
        onInput={input}
      />
      <button type="submit">Search</button>
    </form>
  );
}

interface PagesProps {
  readonly farm: ApiFarm;
  readonly whose: Whose;
  readonly wanted: { readonly kinds: readonly string[]; readonly text: string };
  readonly page: EventsAnswer;
}

/** The first page, which is fetched again and again, and those after it, which are fetched on request. */
function Pages({ farm, whose, wanted, page }: PagesProps) {
  const [older, setOlder] = useState<readonly ShownEvent[]>([]);
  const [later, setLater] = useState<string | undefined>(undefined);
  const [isBegun, setBegun] = useState(false);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const next = isBegun ? later : page.next;
  const shown = new Map([...page.events, ...older].map((event) => [event.id, event]));
  const more = async () => {
    if (next === undefined) return;
    setFailure(undefined);
    try {
      const found = await getEvents(whose, { ...wanted, before: next }, new AbortController().signal);
      // What was the first page when the second was asked for stays, though newer ones have come since.
      setOlder([...(isBegun ? older : page.events), ...found.events]);
      setLater(found.next);
      setBegun(true);
    } catch (error) {
      setFailure(inWords(asProblem(error)));
    }
  };
  if (shown.size === 0 && next === undefined) {
    return (
      <Notice title="Nothing here">
        <p>
          {wanted.text === '' && wanted.kinds.length === 0 ? 'Nothing has happened yet.' : 'No event is like that.'}
        </p>
      </Notice>
    );
  }
  return (
    <>
      <ol class="events">
        {[...shown.values()].map((event) => (
          <EventLine key={event.id} event={event} farm={farm} />
        ))}
      </ol>
      {failure && (
        <p class="form-failure" role="alert">
          {failure}
        </p>
      )}
      {next !== undefined && (
        <button type="button" class="more" onClick={() => void more()}>
          {shown.size === 0 ? 'None among the newest: look further back' : 'Older ones'}
        </button>
      )}
    </>
  );
}

function EventLine({ event, farm }: { event: ShownEvent; farm: ApiFarm }) {
  const { at, kind, who, from, sensor } = event;
  const isHere = event.farm === farm.id;
  return (
    <li class="event" data-event={kind}>
      <h2>{eventTitle(event)}</h2>
      <p class="quiet">
        <time dateTime={new Date(at).toISOString()}>{formatMoment(at, slowNow.value, locale, farm.timezone)}</time>
        {who && ` · ${who}`}
        {from && ` · from ${from}`}
        {event.farm && !isHere && ` · ${event.farm}${sensor ? `/${sensor}` : ''}`}
        {isHere && sensor && (
          <>
            {' · '}
            <a href={addressOf({ page: 'sensor', farm: farm.id, sensor, range: { last: '24h' } })}>{sensor}</a>
          </>
        )}
      </p>
      {eventLines(event, slowNow.value, locale, farm.timezone).map((line) => (
        <p key={line}>{line}</p>
      ))}
    </li>
  );
}
