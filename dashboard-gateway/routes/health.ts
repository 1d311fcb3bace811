import { type Health, readiness } from '../../core/lifecycle.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';

/** `/healthz`: the process lives. `/readyz`: every dependency by name, 503 when one is down. */
export function healthRoutes(health: () => readonly Health[]): Route[] {
  return [
    { method: 'GET', path: '/healthz', handler: () => json({ ok: true }) },
    {
      method: 'GET',
      path: '/readyz',
      handler: () => {
        const answer = readiness(health());
        return json(answer, { status: answer.ok ? 200 : 503 });
      },
    },
  ];
}
