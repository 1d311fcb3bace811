import { type Health, publicReadiness } from '../../core/lifecycle.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';

/**
 * `/healthz`: the process lives. `/readyz`: every dependency by name, 503 when one that is needed is down. Reasons are
 * shown only on the operators' port, because anybody may ask here.
 */
export function healthRoutes(health: () => readonly Health[]): Route[] {
  return [
    { method: 'GET', path: '/healthz', handler: () => json({ ok: true }) },
    {
      method: 'GET',
      path: '/readyz',
      handler: () => {
        const answer = publicReadiness(health());
        return json(answer, { status: answer.ok ? 200 : 503 });
      },
    },
  ];
}
