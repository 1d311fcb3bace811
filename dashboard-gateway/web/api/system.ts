import { flag, listOf, optional, record, text } from '../../client/check.ts';
import { call, callAnyway } from './http.ts';
import { ApiProblem } from './problem.ts';

/** Whether one part that the gateway depends on answers. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly why: string | undefined;
}

/** Every part by name. A gateway that is not ready says so with the same list. */
export async function getChecks(signal: AbortSignal): Promise<Check[]> {
  const answer = record(await callAnyway('/readyz', signal), 'readyz');
  return listOf(answer.checks, 'checks', (value, path) => {
    const check = record(value, path);
    return { name: text(check.name, path), ok: flag(check.ok, path), why: optional(check.why, path, text) };
  });
}

/** Figures by name, as this gateway knows them; undefined when it has none to tell. */
export async function getFigures(signal: AbortSignal): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    return record(await call('/api/system', { signal }), 'system');
  } catch (error) {
    if (error instanceof ApiProblem && (error.status === 404 || error.status === 403)) return undefined;
    throw error;
  }
}
