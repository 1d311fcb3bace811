import type { Health } from '../../core/lifecycle.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { Sessions } from '../sign-in/sessions.ts';
import type { Figures } from '../system/figures.ts';
import { VERSION } from '../version.ts';
import { signedIn } from './signed-in.ts';

export interface SystemParts {
  readonly sessions: Sessions;
  readonly health: () => readonly Health[];
  readonly figures: Figures;
  readonly now: () => number;
}

/** `GET /api/system`: how Loam is, as far as this gateway's process knows, for people. */
export function systemRoutes({ sessions, health, figures, now }: SystemParts): Route[] {
  const startedAt = now() - Math.round(process.uptime() * 1000);
  return [
    {
      method: 'GET',
      path: '/api/system',
      handler: signedIn(sessions, async () =>
        json({ version: VERSION, startedAt, parts: health(), figures: await figures.all() }),
      ),
    },
  ];
}
