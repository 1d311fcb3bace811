import { setTimeout as delay } from 'node:timers/promises';
import { type Fault, lasting } from './fault.ts';
import type { Stage } from './stage.ts';

/** What happens to processes of Loam: they are killed, asked to end, stand still, and have their clocks set. */
export function roleFaults({ roles, clock }: Pick<Stage, 'roles' | 'clock'>): Fault[] {
  const all = Object.values(roles);
  const each = all.flatMap((role): Fault[] => [
    { name: `kill -9 ${role.name}`, happen: () => role.kill() },
    { name: `${role.name} asked to end`, happen: (holdMs) => role.restart(() => delay(holdMs)) },
    lasting(
      `${role.name} frozen`,
      () => role.freeze(),
      async () => role.thaw(),
    ),
  ]);
  if (all.length === 1) return each;
  return [
    ...each,
    {
      name: 'kill -9 two roles at once',
      happen: async (_holdMs, dice) => {
        await Promise.all(dice.draw(all, 2).map((role) => role.kill()));
      },
    },
    {
      name: 'all roles asked to end at once',
      happen: async (holdMs) => {
        await Promise.all(all.map((role) => role.restart(() => delay(holdMs))));
      },
    },
    ...(clock ? clockFaults(clock) : []),
  ];
}

/** Sets the clock of all roles off by so many seconds. */
export type SetClock = (seconds: number) => Promise<void>;

function clockFaults(set: SetClock): Fault[] {
  const stepped = (name: string, seconds: number, more: Partial<Fault> = {}): Fault => ({
    ...lasting(
      name,
      () => set(seconds),
      () => set(0),
    ),
    ...more,
  });
  // A reading that comes more than five minutes before it was measured, by the clock of who takes it, is refused by name.
  const refused: Partial<Fault> = { harm: 'setsAside', reason: 'future_time' };
  return [
    stepped('clocks of all roles an hour ahead, and back', 3_600),
    stepped('clocks of all roles a day ahead, and back', 86_400),
    stepped('clocks of all roles an hour behind, and back', -3_600, refused),
    stepped('clocks of all roles a day behind, and back', -86_400, refused),
  ];
}
