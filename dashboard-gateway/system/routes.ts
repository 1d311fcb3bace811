import { type Health, joined } from '../../core/lifecycle.ts';
import { EVERY_FARM, roleOn, type User } from '../../telemetry/registry.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn } from '../sign-in/signed-in.ts';
import type { Figures } from './figures.ts';
import { VERSION } from './version.ts';

export interface SystemParts {
  readonly sessions: SignInSessions;
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
      handler: signedIn(sessions, async ({ user }) => {
        const parts = joined(health()).flatMap((part) => shownTo(user, part));
        return json({ version: VERSION, startedAt, parts, figures: await figures.all() });
      }),
    },
  ];
}

/** A part as a user may see it: nothing of another farm's, and what is wrong with the installation's own only for who administers all of it. */
function shownTo(user: User, { only, why, ...part }: Health): Omit<Health, 'only'>[] {
  const shown = why === undefined ? part : { ...part, why };
  if (only === undefined || roleOn(user, EVERY_FARM) === 'admin') return [shown];
  if (only.farm === undefined) return [part];
  return roleOn(user, only.farm) === undefined ? [] : [shown];
}
