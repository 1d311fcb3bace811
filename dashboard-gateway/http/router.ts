import { isSameOrigin } from './origin.ts';
import { HttpProblem } from './problem.ts';
import type { AnyReply } from './reply.ts';
import type { Request, RequestHead } from './request.ts';

export type Params = Readonly<Record<string, string>>;
export type RouteHandler = (request: Request, params: Params) => AnyReply | Promise<AnyReply>;

/** One route: a method, a path whose `{name}` parts are parameters, and its handler. docs/openapi.yaml describes every route. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly handler: RouteHandler;
  /** Most bytes of a body. Absent: 16 KiB. */
  readonly maxBody?: number;
  /**
   * Content types of a body besides `application/json`. It must be none that a form on another site can send:
   * `text/plain`, `multipart/form-data` or `application/x-www-form-urlencoded`.
   */
  readonly alsoTakes?: readonly string[];
}

export interface FoundRoute {
  readonly route: Route;
  readonly params: Params;
}

/**
 * The route of a request, or undefined when no route has this path. HEAD is answered by the handler of GET. Throws
 * HttpProblem `method-not-allowed`; for methods other than GET also `cross-origin` or `unsupported-media-type`.
 */
export function findRoute(routes: readonly Route[], head: RequestHead): FoundRoute | undefined {
  const method = head.method === 'HEAD' ? 'GET' : head.method;
  const allowed: string[] = [];
  for (const route of routes) {
    const params = match(route.path, head.path);
    if (!params) continue;
    if (route.method !== method) {
      allowed.push(route.method);
      continue;
    }
    if (method !== 'GET') checkChange(head, route);
    return { route, params };
  }
  if (allowed.length > 0) throw new HttpProblem('method-not-allowed', undefined, { allow: allowed.join(', ') });
  return undefined;
}

// A form or an image on another site can make a browser send its cookies. It cannot make it send this content type, or
// this gateway's own origin.
function checkChange(head: RequestHead, { alsoTakes = [] }: Route): void {
  if (!isSameOrigin(head)) throw new HttpProblem('cross-origin');
  const type = head.headers.contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const taken = ['application/json', ...alsoTakes];
  if (!taken.includes(type)) {
    throw new HttpProblem('unsupported-media-type', `the body must be ${taken.join(' or ')}`);
  }
}

function match(pattern: string, path: string): Params | undefined {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const text = decoded(given[i] ?? '');
    if (text === undefined) return undefined;
    if (part.startsWith('{')) params[part.slice(1, -1)] = text;
    else if (part !== text) return undefined;
  }
  return params;
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    // A path with a stray % belongs to no route.
    return undefined;
  }
}
