import { useEffect, useRef } from 'preact/hooks';
import { ApiProblem } from '../../api/problem.ts';
import type { ApiFarm } from '../../api/shapes.ts';
import { farm, farmsProblem, known, loadFarms } from '../../state/farms.ts';
import { route } from '../../state/router.ts';
import { addressOf } from '../../state/routes.ts';
import { listed, sensors, sensorsProblem } from '../../state/sensors.ts';
import { session } from '../../state/session.ts';
import { SignIn } from '../account/sign-in.tsx';
import { lazy } from '../common/lazy.tsx';
import { Notice, ProblemNotice } from '../common/notice.tsx';
import { FarmPage } from '../farm/farm-page.tsx';
import { Outage } from './connection.tsx';
import { Header } from './header.tsx';
import { titleOf } from './title.ts';

const FieldPage = lazy(async () => (await import('../field/field-page.tsx')).FieldPage);
const SensorPage = lazy(async () => (await import('../sensor/sensor-page.tsx')).SensorPage);
const PlaybackPage = lazy(async () => (await import('../playback/playback-page.tsx')).PlaybackPage);
const SensorsPage = lazy(async () => (await import('../sensors/sensors-page.tsx')).SensorsPage);
const LettersPage = lazy(async () => (await import('../dead-letters/letters-page.tsx')).LettersPage);
const EventsPage = lazy(async () => (await import('../events/events-page.tsx')).EventsPage);
const SystemPage = lazy(async () => (await import('../system/system-page.tsx')).SystemPage);
const AccountPage = lazy(async () => (await import('../account/account-page.tsx')).AccountPage);

const FORBIDDEN = new ApiProblem({ status: 403, code: 'forbidden', title: 'No access' });

export function App() {
  const { value } = session;
  switch (value.phase) {
    case 'starting':
      return (
        <main class="page page-narrow">
          {value.problem ? <ProblemNotice problem={value.problem} again /> : <p class="quiet">Starting …</p>}
        </main>
      );
    case 'signed-out':
      return <SignIn note={value.note} />;
    case 'signed-in':
      return (
        <>
          <Header me={value.me} />
          <Main>
            {!value.me.passwordSet && route.value.page !== 'account' && <PasswordBanner />}
            <Page />
          </Main>
        </>
      );
  }
}

/** The beginning of a page. A new page takes the focus, for screen readers, and is scrolled to its top. */
function Main({ children }: { children: preact.ComponentChildren }) {
  const main = useRef<HTMLElement>(null);
  const at = route.value;
  const place = at.page === 'unknown' ? at.path : addressOf(at).split('?')[0];
  const first = useRef(true);
  const title = titleOf(at, farm.value, sensors.value);
  useEffect(() => {
    document.title = title;
  }, [title]);
  useEffect(() => {
    if (!first.current) {
      main.current?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    first.current = false;
  }, [place]);
  return (
    <main class="page" id="main" ref={main} tabIndex={-1}>
      {children}
    </main>
  );
}

/** For a user who came by a sign-in link: without a password, the next visit needs a new link. */
function PasswordBanner() {
  return (
    <aside class="banner">
      <p>You have no password yet. Choose one to sign in from other devices.</p>
      <a class="button" href="/account">
        Choose a password
      </a>
    </aside>
  );
}

function Page() {
  const farms = known.value?.farms;
  const at = route.value;
  if (at.page === 'account') return <AccountPage />;
  if (farmsProblem.value && farms === undefined) {
    return <ProblemNotice problem={farmsProblem.value} again={farmsProblem.value.passing} />;
  }
  if (farms === undefined) return <p class="quiet loading">Loading …</p>;
  const first = farms[0];
  if (first === undefined) {
    return (
      <Notice title="No farm to show yet">
        <p>Your account has no access to a farm. Ask an administrator to give you a role on one.</p>
        <button type="button" onClick={loadFarms}>
          Look again
        </button>
      </Notice>
    );
  }
  const back = <a href={addressOf({ page: 'farm', farm: first.id })}>Go to {first.name}</a>;
  if (at.page === 'unknown') {
    return (
      <Notice title="There is no such page">
        <p>Nothing is at {at.path}.</p>
        <p>{back}</p>
      </Notice>
    );
  }
  if (at.page === 'system') return <SystemPage />;
  if (farm.value === undefined) {
    return at.page === 'home' ? null : <ProblemNotice problem={FORBIDDEN}>{back}</ProblemNotice>;
  }
  return <OfFarm farm={farm.value} />;
}

function OfFarm({ farm }: { farm: ApiFarm }) {
  const problem = sensorsProblem.value;
  return (
    <>
      {problem && <ProblemNotice problem={problem} again={problem.passing} />}
      <Outage />
      {sensors.value.size === 0 && !listed.value && !problem ? (
        <p class="quiet loading">Loading sensors …</p>
      ) : (
        <FarmRoute key={farm.id} farm={farm} />
      )}
    </>
  );
}

function FarmRoute({ farm }: { farm: ApiFarm }) {
  const at = route.value;
  switch (at.page) {
    case 'field':
      return <FieldPage key={at.field} farm={farm} field={at.field} metric={at.metric} range={at.range} />;
    case 'sensor':
      return <SensorPage key={at.sensor} farm={farm} sensor={at.sensor} range={at.range} />;
    case 'playback':
      return <PlaybackPage farm={farm} day={at.day} metric={at.metric} />;
    case 'sensors':
      return <SensorsPage farm={farm} />;
    case 'dead-letters':
      return <LettersPage farm={farm} />;
    case 'events':
      return <EventsPage farm={farm} />;
    default:
      return <FarmPage farm={farm} />;
  }
}
