import { signal } from '@preact/signals';
import { known } from '../../state/farms.ts';
import { addressOf } from '../../state/routes.ts';
import { choosePassword, session } from '../../state/session.ts';
import {
  THEME_CHOICES,
  type ThemeChoice,
  theme,
  UNIT_CHOICES,
  type UnitChoice,
  unitSystem,
  units,
} from '../../state/settings.ts';
import { entered, useSubmit } from '../common/form.tsx';
import { SignOut } from '../common/sign-out.tsx';
import { MySessions } from './my-sessions.tsx';

const SHORTEST = 10;
const LONGEST = 200;

/** Who is signed in, what they may do, their password, and how this browser shows things. */
export function AccountPage() {
  const { value } = session;
  if (value.phase !== 'signed-in') return null;
  const { me } = value;
  return (
    <div class="account-page">
      <header class="page-head">
        <h1>Account</h1>
      </header>
      <section class="panel" aria-labelledby="who">
        <h2 id="who">{me.user}</h2>
        {me.farms.length === 0 ? (
          <p>No farm yet. Ask an administrator to give you a role on one.</p>
        ) : (
          <dl class="pairs">
            {me.farms.map(({ id, role }) => (
              <div key={id}>
                <dt>
                  <a href={addressOf({ page: 'farm', farm: id })}>
                    {known.value?.farms.find((f) => f.id === id)?.name ?? id}
                  </a>
                </dt>
                <dd>
                  {role} <span class="quiet">{WHAT[role] ?? ''}</span>
                </dd>
              </div>
            ))}
          </dl>
        )}
        <SignOut />
      </section>
      <MySessions user={me.user} />
      <Password needsCurrent={me.passwordSet} user={me.user} />
      <Display />
    </div>
  );
}

const WHAT: Readonly<Record<string, string>> = {
  viewer: 'sees everything of the farm',
  agronomist: 'sees everything of the farm',
  admin: 'sees everything, manages sensors and dead letters',
};

/** Kept outside the form, because the form is made anew when the user has a password. */
const saved = signal(false);

function Password({ needsCurrent, user }: { needsCurrent: boolean; user: string }) {
  const { busy, failure, submit } = useSubmit(async (form, element) => {
    saved.value = false;
    await choosePassword(entered(form, 'password'), needsCurrent ? entered(form, 'current') : undefined);
    saved.value = true;
    element.reset();
  }, 'The current password is wrong.');
  return (
    <form class="panel form" onSubmit={submit} aria-labelledby="password-title">
      <h2 id="password-title">{needsCurrent ? 'Change password' : 'Choose a password'}</h2>
      <p class="quiet">Every other device that is signed in as you will have to sign in again.</p>
      <input
        class="hidden"
        name="user"
        autocomplete="username"
        value={user}
        readOnly
        tabIndex={-1}
        aria-hidden="true"
      />
      {needsCurrent && (
        <label>
          Current password
          <input name="current" type="password" autocomplete="current-password" required />
        </label>
      )}
      <label>
        New password
        <input
          name="password"
          type="password"
          autocomplete="new-password"
          minLength={SHORTEST}
          maxLength={LONGEST}
          aria-describedby="password-hint"
          required
        />
      </label>
      <p id="password-hint" class="quiet">
        At least {SHORTEST} characters.
      </p>
      {failure && (
        <p class="form-failure" role="alert">
          {failure}
        </p>
      )}
      <p role="status" class={saved.value ? 'form-done' : 'hidden'}>
        {saved.value && 'The new password is in force.'}
      </p>
      <button type="submit" class="button-main" disabled={busy}>
        {busy ? 'Saving …' : 'Save password'}
      </button>
    </form>
  );
}

const UNIT_WORDS: Record<UnitChoice, string> = {
  auto: 'As my browser’s language',
  metric: 'Metric (°C, mm)',
  imperial: 'Imperial (°F, in)',
};
const THEME_WORDS: Record<ThemeChoice, string> = { auto: 'As my device', light: 'Light', dark: 'Dark' };

/** Kept in this browser, not in the account: a phone in the sun and a desk at night need different settings. */
function Display() {
  return (
    <section class="panel" aria-labelledby="display-title">
      <h2 id="display-title">On this device</h2>
      <Choices
        name="units"
        legend={`Units${units.value === 'auto' ? `: ${unitSystem.value}` : ''}`}
        all={UNIT_CHOICES}
        words={UNIT_WORDS}
        current={units.value}
        choose={(choice) => {
          units.value = choice;
        }}
      />
      <Choices
        name="theme"
        legend="Colours"
        all={THEME_CHOICES}
        words={THEME_WORDS}
        current={theme.value}
        choose={(choice) => {
          theme.value = choice;
        }}
      />
    </section>
  );
}

interface ChoicesProps<Choice extends string> {
  readonly name: string;
  readonly legend: string;
  readonly all: readonly Choice[];
  readonly words: Record<Choice, string>;
  readonly current: Choice;
  readonly choose: (choice: Choice) => void;
}

function Choices<Choice extends string>({ name, legend, all, words, current, choose }: ChoicesProps<Choice>) {
  return (
    <fieldset class="choices">
      <legend>{legend}</legend>
      {all.map((choice) => (
        <label key={choice}>
          <input type="radio" name={name} checked={choice === current} onChange={() => choose(choice)} />
          {words[choice]}
        </label>
      ))}
    </fieldset>
  );
}
