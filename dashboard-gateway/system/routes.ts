import type { ClockHistory } from '../../backbone/clocks/clock-history.ts';
import { clock } from '../../core/clock.ts';
import { type Health, joined } from '../../core/lifecycle.ts';
import { administersAll, roleOn } from '../../telemetry/registry/registry.ts';
import type { User } from '../../telemetry/registry/things.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn } from '../sign-in/signed-in.ts';
import type { Figures } from './figures.ts';
import { VERSION } from './version.ts';

/** The newest times at which the clock was wrong. */
const MOST_WRONG = 50;

export interface SystemParts {
  readonly sessions: SignInSessions;
  readonly health: () => readonly Health[];
  readonly figures: Figures;
  readonly clocks?: Pick<ClockHistory, 'wrong'> | undefined;
  readonly now: () => number;
}

/** `GET /api/system`: the state of Loam for people, as far as this gateway's process knows it. */
export function systemRoutes({ sessions, health, figures, clocks, now }: SystemParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/api/system',
      handler: signedIn(sessions, async ({ user }) => {
        const parts = joined(health()).flatMap((part) => shownTo(user, part));
        // Told by how long ago it was: the clock may have been set since.
        const startedAt = now() - Math.round(clock.passed());
        const wrong = administersAll(user) ? { wrongReceipts: clocks?.wrong(MOST_WRONG) ?? [] } : {};
        return json({ version: VERSION, startedAt, parts, figures: await figures.all(), ...wrong });
      }),
    },
  ];
}

/**
 * A part as this user may see it. Parts of farms that the user may not see are left out. What is wrong with a part of
 * the whole installation is shown only to admins of every farm.
 */
function shownTo(user: User, { only, why, ...part }: Health): Omit<Health, 'only'>[] {
  const shown = why === undefined ? part : { ...part, why };
  if (only === undefined || administersAll(user)) return [shown];
  if (only.farm === undefined) return [part];
  return roleOn(user, only.farm) === undefined ? [] : [shown];
}
