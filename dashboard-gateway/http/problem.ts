import type { FarmQuotas } from '../../telemetry/farm-quotas.ts';
import { json, type Reply } from './reply.ts';

/** Every error code of the HTTP interface, with its status and a title for people. */
export const PROBLEMS = {
  'invalid-request': [400, 'The request is not as described'],
  'not-signed-in': [401, 'Sign in first'],
  'wrong-credentials': [401, 'Wrong user or password'],
  forbidden: [403, 'Not for this user'],
  'cross-origin': [403, 'Not from another site'],
  'not-found': [404, 'Nothing here'],
  'method-not-allowed': [405, 'Not with this method'],
  'wrong-host': [421, 'Not by this name'],
  'request-timeout': [408, 'The body did not come in time'],
  conflict: [409, 'Not as things stand'],
  'quota-reached': [409, 'A quota of the farm is used up'],
  'body-too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The body is of the wrong kind'],
  'too-many-attempts': [429, 'Too many wrong attempts'],
  'too-many-commands': [429, 'As many commands wait for the sensor as may'],
  'too-many-requests': [429, 'Too many requests'],
  internal: [500, 'A fault in the gateway'],
  'store-unavailable': [503, 'The store cannot answer now'],
  'registry-unavailable': [503, 'The registry cannot be changed now'],
  'log-unavailable': [503, 'The log cannot be reached now'],
  'queue-unavailable': [503, 'The queue cannot be reached now'],
  busy: [503, 'Too busy'],
  'app-not-built': [503, 'The browser app has not been built'],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemCode = keyof typeof PROBLEMS;

/** Thrown by a route, or by what it calls, to answer the request with this problem. */
export class HttpProblem extends Error {
  readonly code: ProblemCode;
  readonly detail: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Further members of the answer, for programs. */
  readonly members: Readonly<Record<string, unknown>>;

  constructor(
    code: ProblemCode,
    detail?: string,
    headers: Readonly<Record<string, string>> = {},
    members: Readonly<Record<string, unknown>> = {},
  ) {
    super(detail ?? PROBLEMS[code][1]);
    this.name = 'HttpProblem';
    this.code = code;
    this.detail = detail;
    this.headers = headers;
    this.members = members;
  }
}

/** A problem that passes by itself: `Retry-After` tells the client to try again in `seconds`. */
export function retryLater(code: ProblemCode, seconds: number, detail?: string): HttpProblem {
  return new HttpProblem(code, detail, { 'retry-after': String(Math.max(1, Math.ceil(seconds))) });
}

/** The problem that a farm has as many of something as its quota says. */
export function quotaReached(of: keyof FarmQuotas, most: number): HttpProblem {
  return new HttpProblem(
    'quota-reached',
    `the farm's quota of ${of} is ${most}; who administers this installation can raise it`,
    {},
    { quota: of, most },
  );
}

/** The problem that a browser asks by a name that is not the one that people know. */
export function wrongHost(publicUrl: URL | undefined): HttpProblem {
  return new HttpProblem(
    'wrong-host',
    `this is ${publicUrl?.origin ?? 'elsewhere'}: open it by that name (LOAM_PUBLIC_URL)`,
  );
}

/** The problem as an answer in the format of RFC 9457. */
export function problemReply({ code, detail, headers, members }: HttpProblem): Reply {
  const [status, title] = PROBLEMS[code];
  const body = { type: 'about:blank', title, status, code, ...(detail === undefined ? {} : { detail }), ...members };
  return json(body, { status, headers: { ...headers, 'content-type': 'application/problem+json' } });
}
