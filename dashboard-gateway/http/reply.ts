/** What is answered to a request. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Further `Set-Cookie` headers: one name cannot stand for two of them. */
  readonly cookies?: readonly string[];
  readonly body?: string | Uint8Array;
}

/** An answer of any length, written as fast as the client reads it. `pieces` is ended when the client leaves. */
export interface Streamed extends Omit<Reply, 'body' | 'cookies'> {
  readonly pieces: AsyncIterator<string>;
}

export type AnyReply = Reply | Streamed;

export function isStreamed(reply: AnyReply): reply is Streamed {
  return 'pieces' in reply;
}

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
};

/** A browser that came over TLS once is to use TLS for the next year. */
const ONLY_TLS = { 'strict-transport-security': 'max-age=31536000' };

/** A JSON answer, not to be kept by any cache. */
export function json(
  value: unknown,
  given: { status?: number; headers?: Readonly<Record<string, string>>; cookies?: readonly string[] } = {},
): Reply {
  return {
    status: given.status ?? 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...given.headers },
    ...(given.cookies ? { cookies: given.cookies } : {}),
    body: JSON.stringify(value),
  };
}

/** 201: what was made. */
export function created(value: unknown): Reply {
  return json(value, { status: 201 });
}

/** 204: done, nothing to say. */
export function noContent(headers: Readonly<Record<string, string>> = {}): Reply {
  return { status: 204, headers: { 'cache-control': 'no-store', ...headers } };
}

/** The same answer with more headers. */
export function withHeaders<R extends AnyReply>(reply: R, headers: Readonly<Record<string, string>>): R {
  return { ...reply, headers: { ...reply.headers, ...headers } };
}

/** The same answer with the headers that every answer carries. `secure`: the client speaks TLS. */
export function secured<R extends AnyReply>(reply: R, secure: boolean): R {
  return withHeaders(reply, secure ? { ...SECURITY_HEADERS, ...ONLY_TLS } : SECURITY_HEADERS);
}
