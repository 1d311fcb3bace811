import type { z } from 'zod';
import { HttpProblem } from './problem.ts';

/** The query's parameters as `schema` reads them. A parameter given twice is refused. Throws HttpProblem `invalid-request`. */
export function parseQuery<T>(schema: z.ZodType<T>, query: URLSearchParams): T {
  const given: Record<string, string> = {};
  for (const [name, value] of query) {
    if (Object.hasOwn(given, name)) throw new HttpProblem('invalid-request', `${name}: given twice`);
    given[name] = value;
  }
  return checked(schema, given);
}

/** The body's JSON as `schema` reads it. Throws HttpProblem `invalid-request`. */
export function parseBody<T>(schema: z.ZodType<T>, body: string): T {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new HttpProblem('invalid-request', 'the body is not JSON');
  }
  return checked(schema, value);
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue?.path.map(String).join('.');
  throw new HttpProblem('invalid-request', `${place ? `${place}: ` : ''}${issue?.message ?? 'not as described'}`);
}
