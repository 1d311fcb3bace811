import { signal } from '@preact/signals';
import { getMe, putPassword, signIn, signOut } from '../api/gateway.ts';
import { type ApiProblem, asProblem } from '../api/problem.ts';
import type { Me } from '../api/shapes.ts';
import { untilDone } from './retry.ts';

export type PageSession =
  | { readonly phase: 'starting'; readonly problem: ApiProblem | undefined }
  /** `note` says why the user is signed out; undefined when they just have not signed in yet. */
  | { readonly phase: 'signed-out'; readonly note: string | undefined }
  | { readonly phase: 'signed-in'; readonly me: Me };

/** How often the page asks who is signed in: the sign-in session then gets a fresh cookie. */
const RENEW_MS = 30 * 60_000;
const SECOND_LOOK_MS = 1500;
const TOKEN_FAILED =
  'This sign-in link has been used already or is older than 15 minutes. Restart Loam on its own machine to get a new one, or sign in with a password.';

/** The change of password under way, if any. */
let changing: Promise<void> = Promise.resolve();

export const session = signal<PageSession>({ phase: 'starting', problem: undefined });

/** Finds out who is signed in, with the token of a first sign-in's link when the address has one. */
export async function startSession(): Promise<void> {
  const token = takeToken();
  const failed = token === undefined ? undefined : await redeem(token);
  await untilDone(askWho, {
    signal: new AbortController().signal,
    onProblem: (problem, again) => {
      session.value = again
        ? { phase: 'starting', problem }
        : { phase: 'signed-out', note: failed ?? (problem.status === 401 ? undefined : problem.message) };
    },
  });
  setInterval(() => void recheck(), RENEW_MS);
}

async function askWho(): Promise<void> {
  session.value = { phase: 'signed-in', me: await getMe() };
}

/** The token must not stay where it can be read over a shoulder, bookmarked or shared. */
function takeToken(): string | undefined {
  const token = new URLSearchParams(window.location.hash.slice(1)).get('token');
  if (token === null) return undefined;
  window.history.replaceState(null, '', window.location.pathname + window.location.search);
  return token;
}

/** Why the token did not open a session, or undefined when it did. */
async function redeem(token: string): Promise<string | undefined> {
  try {
    await signIn({ token });
    return undefined;
  } catch (error) {
    const problem = asProblem(error);
    if (problem.status === 401) return TOKEN_FAILED;
    return `The sign-in link could not be used: ${problem.message}`;
  }
}

/** Rejects with ApiProblem. */
export async function enter(user: string, password: string): Promise<void> {
  session.value = { phase: 'signed-in', me: await signIn({ user, password }) };
}

/** Rejects with ApiProblem. */
export async function leave(): Promise<void> {
  let note: string | undefined;
  try {
    await signOut();
  } catch (error) {
    // The session has ended at the gateway that was asked, and the cookie is gone.
    if (asProblem(error).code !== 'log-unavailable') throw error;
    note = 'You are signed out. Other servers of this Loam may take a moment to know.';
  }
  session.value = { phase: 'signed-out', note };
}

/** Rejects with ApiProblem. */
export async function choosePassword(password: string, current: string | undefined): Promise<void> {
  const change = putPassword(password, current);
  changing = change.catch(() => undefined);
  await change;
  const { value } = session;
  if (value.phase === 'signed-in') session.value = { ...value, me: { ...value.me, passwordSet: true } };
}

/**
 * Asks whether the sign-in session is still valid; shows the sign-in form when it is not. A gateway that cannot be
 * reached changes nothing.
 * A new password ends the old session a moment before the new cookie is here, and another tab may have set that
 * password: so only a second refusal counts.
 */
export async function recheck(): Promise<void> {
  await changing;
  if (!(await refused())) return;
  await new Promise((done) => setTimeout(done, SECOND_LOOK_MS));
  if (await refused()) session.value = { phase: 'signed-out', note: 'Your session has ended. Please sign in again.' };
}

async function refused(): Promise<boolean> {
  if (session.value.phase !== 'signed-in') return false;
  try {
    const me = await getMe();
    if (session.value.phase === 'signed-in') session.value = { phase: 'signed-in', me };
    return false;
  } catch (error) {
    return asProblem(error).status === 401;
  }
}
