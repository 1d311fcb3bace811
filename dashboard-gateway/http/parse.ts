import { z } from 'zod';
import { HttpProblem } from './problem.ts';

/** Schemas and whoever writes JSON go into it level by level, on a stack that ends. Nothing that is asked for is nested like this. */
const MOST_DEPTH = 100;

/** The query's parameters as `schema` reads them. A parameter given twice is refused. Throws HttpProblem `invalid-request`. */
export function parseQuery<T>(schema: z.ZodType<T>, query: URLSearchParams): T {
  const given = new Map<string, string>();
  for (const [name, value] of query) {
    if (given.has(name)) throw new HttpProblem('invalid-request', `${name}: given twice`);
    given.set(name, value);
  }
  return checked(schema, Object.fromEntries(given));
}

/** The body's JSON as `schema` reads it. Throws HttpProblem `invalid-request`. */
export function parseBody<T>(schema: z.ZodType<T>, body: string): T {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new HttpProblem('invalid-request', 'the body is not JSON');
  }
  if (isDeeperThan(MOST_DEPTH, value)) {
    throw new HttpProblem('invalid-request', `the body's JSON is nested more than ${MOST_DEPTH} deep`);
  }
  return checked(schema, value);
}

/** For what is asked without a body: one that comes all the same is JSON, since a form on another site cannot send it. Throws as `parseBody`. */
export function parseNoBody(body: string): void {
  if (body.trim() !== '') parseBody(z.unknown(), body);
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue?.path.map(String).join('.');
  throw new HttpProblem('invalid-request', `${place ? `${place}: ` : ''}${issue?.message ?? 'not as described'}`);
}

function isDeeperThan(most: number, value: unknown): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; depth <= most; depth++) {
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
    if (level.length === 0) return false;
  }
  return true;
}
