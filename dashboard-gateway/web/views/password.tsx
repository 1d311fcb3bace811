import { signal } from '@preact/signals';
import { choosePassword, session } from '../state/session.ts';
import { entered, useSubmit } from './form.tsx';

/** Whether the form is open; the account menu opens it as well. */
export const choosing = signal(false);

const SHORTEST = 10;
const LONGEST = 200;

/** For who came by a sign-in link: without a password the next visit needs a new one. */
export function PasswordBanner() {
  if (choosing.value) return null;
  return (
    <aside class="banner">
      <p>You have no password yet. Choose one to sign in from other devices.</p>
      <button
        type="button"
        onClick={() => {
          choosing.value = true;
        }}
      >
        Choose a password
      </button>
    </aside>
  );
}

export function PasswordForm() {
  const { value } = session;
  const me = value.phase === 'signed-in' ? value.me : undefined;
  const close = () => {
    choosing.value = false;
  };
  const { busy, failure, submit } = useSubmit(async (form) => {
    await choosePassword(entered(form, 'password'), me?.passwordSet ? entered(form, 'current') : undefined);
    close();
  }, 'The current password is wrong.');
  if (!choosing.value || me === undefined) return null;
  return (
    <form class="form form-panel" onSubmit={submit} aria-labelledby="password-title">
      <h2 id="password-title">Choose a password</h2>
      <input class="hidden" name="user" autocomplete="username" value={me.user} readOnly tabIndex={-1} />
      {me.passwordSet && (
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
      <div class="form-buttons">
        <button type="submit" class="button-main" disabled={busy}>
          {busy ? 'Saving …' : 'Save password'}
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
    </form>
  );
}
