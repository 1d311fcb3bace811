import { isSameOrigin } from './origin.ts';
import { HttpProblem } from './problem.ts';
import type { Reply } from './reply.ts';
import type { Request } from './request.ts';

export type Params = Readonly<Record<string, string>>;
export type Handler = (request: Request, params: Params) => Reply | Promise<Reply>;

/** One address: a method, a path whose `{name}` parts are parameters, and who answers. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly handler: Handler;
}

/**
 * The handler for a request and its parameters, or undefined when no route has this path.
 * HEAD is answered by GET's handler. Throws HttpProblem: `method-not-allowed`, or what `checkChange` throws.
 */
export function findRoute(routes: readonly Route[], request: Request): (() => Reply | Promise<Reply>) | undefined {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const allowed: string[] = [];
  for (const route of routes) {
    const params = match(route.path, request.path);
    if (!params) continue;
    if (route.method !== method) {
      allowed.push(route.method);
      continue;
    }
    if (method !== 'GET') checkChange(request);
    return () => route.handler(request, params);
  }
  if (allowed.length > 0) throw new HttpProblem('method-not-allowed', undefined, { allow: allowed.join(', ') });
  return undefined;
}

// A form or an image on another site can make a browser send its cookies, but neither this content type nor our origin.
function checkChange(request: Request): void {
  if (!isSameOrigin(request)) throw new HttpProblem('cross-origin');
  if (!/^application\/json\s*(;|$)/i.test(request.headers.contentType)) throw new HttpProblem('unsupported-media-type');
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
    // A stray % makes it nobody's address.
    return undefined;
  }
}
