import { useState } from 'preact/hooks';
import { advice, asProblem } from '../../api/problem.ts';
import { leave } from '../../state/session.ts';

/** The button that ends the session. */
export function SignOut() {
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const signOut = async () => {
    try {
      await leave();
    } catch (error) {
      // Only the gateway can remove the cookie: until it did, the user is still signed in and must see that.
      setFailure(`You are still signed in. ${advice(asProblem(error))}`);
    }
  };
  return (
    <>
      <button type="button" onClick={() => void signOut()}>
        Sign out
      </button>
      {failure && (
        <p class="form-failure" role="alert">
          {failure}
        </p>
      )}
    </>
  );
}
