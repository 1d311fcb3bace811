import { useSignal } from '@preact/signals';
import { endMyOtherSessions, endMySession, getMySessions, type MySession } from '../../api/my-sessions.ts';
import { advice, asProblem } from '../../api/problem.ts';
import { Age } from '../common/age.tsx';
import { useResource } from '../common/use-resource.ts';

/** Where the user is signed in, and buttons to end what they do not know or need. */
export function MySessions({ user }: { user: string }) {
  const { value, problem, reload } = useResource(user, getMySessions, 60_000);
  const busy = useSignal(false);
  const failure = useSignal('');
  const end = async (act: () => Promise<void>) => {
    busy.value = true;
    failure.value = '';
    try {
      await act();
    } catch (error) {
      failure.value = advice(asProblem(error));
    } finally {
      busy.value = false;
      reload();
    }
  };
  const all = value.value ?? [];
  const others = all.filter(({ current }) => !current);
  return (
    <section class="panel" aria-labelledby="sessions-title">
      <h2 id="sessions-title">Where you are signed in</h2>
      {problem.value && !value.value && <p class="quiet">{advice(problem.value)}</p>}
      <ul class="my-sessions">
        {all.map((one) => (
          <li key={one.id}>
            <div class="my-session">
              <strong title={one.agent}>{nameOf(one)}</strong>
              <span class="quiet">
                {one.current ? 'this one' : <Age ts={one.used} />} · {one.usedFrom}
              </span>
            </div>
            {!one.current && (
              <button
                type="button"
                disabled={busy.value}
                aria-label={`Sign out ${nameOf(one)}`}
                onClick={() => void end(() => endMySession(one.id))}
              >
                Sign out
              </button>
            )}
          </li>
        ))}
      </ul>
      {value.value && others.length === 0 && <p class="quiet">Nowhere else.</p>}
      {others.length > 1 && (
        <button type="button" disabled={busy.value} onClick={() => void end(endMyOtherSessions)}>
          Sign out everywhere else
        </button>
      )}
      {failure.value !== '' && (
        <p class="form-failure" role="alert">
          {failure.value}
        </p>
      )}
    </section>
  );
}

/** What calls itself by the earlier name also has a later one in its text. */
const BROWSERS = ['Edg', 'OPR', 'Firefox', 'Chrome', 'Safari'] as const;
const BROWSER_NAMES: Readonly<Record<string, string>> = { Edg: 'Edge', OPR: 'Opera' };
const SYSTEMS = ['Android', 'iPhone', 'iPad', 'Windows', 'Mac OS', 'Linux'] as const;

function nameOf({ agent, by }: Pick<MySession, 'agent' | 'by'>): string {
  if (by === 'program') return agent === '' ? 'A program' : `Program: ${agent.slice(0, 40)}`;
  const browser = BROWSERS.find((name) => agent.includes(name));
  const system = SYSTEMS.find((name) => agent.includes(name));
  if (browser === undefined) return agent === '' ? 'A browser' : agent.slice(0, 40);
  const known = BROWSER_NAMES[browser] ?? browser;
  return system === undefined ? known : `${known} on ${system}`;
}
