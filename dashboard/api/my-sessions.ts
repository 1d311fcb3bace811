import { finite, flag, listOf, record, text } from '../../client/shape-checks.ts';
import { call } from './http.ts';

/** Where the user is signed in. Times are Unix ms. */
export interface MySession {
  readonly id: string;
  readonly by: string;
  /** What the browser or program called itself. */
  readonly agent: string;
  readonly usedFrom: string;
  readonly used: number;
  /** Whether it is this page's own. */
  readonly current: boolean;
}

/** Each call rejects with ApiProblem, or Unexpected when the answer has another shape. */
export async function getMySessions(signal: AbortSignal): Promise<MySession[]> {
  const answer = record(await call('/api/me/sessions', { signal }), 'sessions');
  return listOf(answer.sessions, 'sessions', (value, path) => {
    const one = record(value, path);
    return {
      id: text(one.id, path),
      by: text(one.by, path),
      agent: text(one.agent, path),
      usedFrom: text(one.usedFrom, path),
      used: finite(one.used, path),
      current: flag(one.current, path),
    };
  });
}

export async function endMySession(id: string): Promise<void> {
  await call(`/api/me/sessions/${encodeURIComponent(id)}`, { method: 'DELETE' });
}

export async function endMyOtherSessions(): Promise<void> {
  await call('/api/me/sessions', { method: 'DELETE' });
}
