/** What is answered to a request. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** A JSON answer, not to be kept by any cache. */
export function json(
  value: unknown,
  given: { status?: number; headers?: Readonly<Record<string, string>> } = {},
): Reply {
  return {
    status: given.status ?? 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...given.headers },
    body: JSON.stringify(value),
  };
}

/** 204: done, nothing to say. */
export function noContent(headers: Readonly<Record<string, string>> = {}): Reply {
  return { status: 204, headers: { 'cache-control': 'no-store', ...headers } };
}

/** The same answer with more headers. */
export function withHeaders(reply: Reply, headers: Readonly<Record<string, string>>): Reply {
  return { ...reply, headers: { ...reply.headers, ...headers } };
}

/** The same answer with the headers that every answer carries. */
export function secured(reply: Reply): Reply {
  return withHeaders(reply, SECURITY_HEADERS);
}
