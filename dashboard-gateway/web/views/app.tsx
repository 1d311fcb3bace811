import { ApiProblem } from '../api/problem.ts';
import { farm, farmsProblem, known, loadFarms } from '../state/farms.ts';
import { route } from '../state/router.ts';
import { session } from '../state/session.ts';
import { FarmPage } from './farm-page.tsx';
import { Header } from './header.tsx';
import { Notice, ProblemNotice } from './notice.tsx';
import { PasswordBanner } from './password.tsx';
import { SignIn } from './sign-in.tsx';

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
          <main class="page">
            {!value.me.passwordSet && <PasswordBanner />}
            <Page />
          </main>
        </>
      );
  }
}

function Page() {
  const farms = known.value?.farms;
  const at = route.value;
  if (farmsProblem.value && farms === undefined) {
    return <ProblemNotice problem={farmsProblem.value} again={farmsProblem.value.passing} />;
  }
  if (farms === undefined) return <p class="quiet">Loading …</p>;
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
  const back = <a href={`/farms/${first.id}`}>Go to {first.name}</a>;
  if (at.page === 'unknown') {
    return (
      <Notice title="There is no such page">
        <p>Nothing is at {at.path}.</p>
        <p>{back}</p>
      </Notice>
    );
  }
  if (farm.value === undefined) {
    return at.page === 'home' ? null : <ProblemNotice problem={FORBIDDEN}>{back}</ProblemNotice>;
  }
  return <FarmPage key={farm.value.id} farm={farm.value} />;
}
