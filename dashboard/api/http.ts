import { isRecord } from '../../client/shape-checks.ts';
import { gatewayClock } from './gateway-clock.ts';
import { ApiProblem } from './problem.ts';

const TIME_LIMIT_MS = 20_000;

interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** The version that is to be changed, and no other. */
  readonly ifMatch?: string;
}

/** Calls the gateway. Resolves with the JSON of the answer (undefined when it has none); rejects with ApiProblem. */
export async function call(path: string, asked: Call = {}): Promise<unknown> {
  return (await inTime(path, asked)).answer;
}

/** Like a GET by `call`, with the version of what was answered. */
export async function callWithVersion(path: string): Promise<Answered> {
  return await inTime(path, {});
}

/** The JSON of an answer, and the version (`ETag`) that it is of; empty when it has none. */
interface Answered {
  readonly answer: unknown;
  readonly version: string;
}

async function inTime(path: string, { method = 'GET', body, signal, ifMatch = '' }: Call): Promise<Answered> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error('no answer in time')), TIME_LIMIT_MS);
  const given = () => abort.abort(signal?.reason);
  signal?.addEventListener('abort', given, { once: true });
  try {
    return await request(path, { method, body, signal: abort.signal, ifMatch });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', given);
  }
}

async function request(path: string, { method, body, signal, ifMatch }: Required<Call>): Promise<Answered> {
  const headers: Record<string, string> = { accept: 'application/json' };
  const init: RequestInit = { method, credentials: 'same-origin', headers, signal };
  if (ifMatch !== '') headers['if-match'] = ifMatch;
  if (method !== 'GET') {
    headers['content-type'] = 'application/json';
    init.body = JSON.stringify(body ?? {});
  }
  const asked = gatewayClock.passed();
  const response = await fetch(path, init).catch((cause: unknown) => {
    throw new ApiProblem({ status: 0, code: 'unreachable', title: 'No answer', detail: String(cause) });
  });
  compareClocks(response.headers.get('date'), asked);
  if (!response.ok) throw await problemOf(response);
  const version = response.headers.get('etag') ?? '';
  if (response.status === 204) return { answer: undefined, version };
  const answer: unknown = await response.json().catch(() => {
    throw new ApiProblem({ status: 502, code: 'unexpected-answer', title: 'The answer was not JSON' });
  });
  return { answer, version };
}

/** Like a GET by `call`, but resolves with a refusal's JSON too: for answers whose status only sums them up. */
export async function callAnyway(path: string, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(path, { signal, headers: { accept: 'application/json' } }).catch((cause: unknown) => {
    throw new ApiProblem({ status: 0, code: 'unreachable', title: 'No answer', detail: String(cause) });
  });
  const parsed: unknown = await response.json().catch(() => undefined);
  if (parsed === undefined)
    throw new ApiProblem({ status: 502, code: 'unexpected-answer', title: 'The answer was not JSON' });
  return parsed;
}

async function problemOf(response: Response): Promise<ApiProblem> {
  // A proxy in between answers with a page of its own: then only the status is known.
  const parsed: unknown = await response.json().catch(() => undefined);
  const body = isRecord(parsed) ? parsed : {};
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  return new ApiProblem({
    status: response.status,
    code: typeof body.code === 'string' ? body.code : `http-${response.status}`,
    title: typeof body.title === 'string' ? body.title : `The gateway answered ${response.status}`,
    ...(typeof body.detail === 'string' ? { detail: body.detail } : {}),
    ...(Number.isFinite(retryAfter) ? { retryAfter } : {}),
  });
}

function compareClocks(date: string | null, asked: number): void {
  const theirs = date === null ? Number.NaN : Date.parse(date);
  if (!Number.isNaN(theirs)) gatewayClock.answered(theirs, asked);
}
