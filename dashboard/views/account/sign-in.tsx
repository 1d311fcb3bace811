import { enter } from '../../state/session.ts';
import { entered, useSubmit } from '../common/form.tsx';
import { Logo } from '../common/icons.tsx';

export function SignIn({ note }: { note: string | undefined }) {
  const { busy, failure, wait, submit } = useSubmit(
    (form) => enter(entered(form, 'user').trim(), entered(form, 'password')),
    'The user or the password is wrong.',
  );
  return (
    <main class="sign-in">
      <form class="form" onSubmit={submit} aria-labelledby="sign-in-title">
        <Logo />
        <h1 id="sign-in-title">Sign in to Loam</h1>
        {note && (
          <p class="form-note" role="alert">
            {note}
          </p>
        )}
        <label>
          User
          <input name="user" autocomplete="username" autocapitalize="none" spellcheck={false} required />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        {failure && (
          <p class="form-failure" role="alert">
            {failure}
          </p>
        )}
        <button type="submit" class="button-main" disabled={busy || wait > 0}>
          {busy ? 'Signing in …' : 'Sign in'}
        </button>
      </form>
    </main>
  );
}
