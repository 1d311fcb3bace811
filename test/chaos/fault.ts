import { setTimeout as delay } from 'node:timers/promises';
import type { Dice } from './random.ts';

/**
 * What a fault takes away that was acknowledged, where it takes something away: what waits in the queue (`destroys`; the account must
 * call it lost), the same together with the log that the account is kept from (`destroysAccount`; it must call something lost or unknown),
 * what was stored before (`emptiesStore`), or readings that are refused by name while it lasts (`setsAside`).
 */
export type Harm = 'destroys' | 'destroysAccount' | 'emptiesStore' | 'setsAside';

export interface Fault {
  readonly name: string;
  readonly harm?: Harm;
  /** Of dead letters, where it sets something aside. */
  readonly reason?: string;
  /** Breaks something, leaves it broken for about `holdMs`, and resolves when it has been mended as far as somebody outside would mend it. */
  readonly happen: (holdMs: number, dice: Dice) => Promise<void>;
}

/** A fault that begins, lasts and ends. */
export function lasting(name: string, begin: () => Promise<unknown>, end: () => Promise<unknown>): Fault {
  return {
    name,
    happen: async (holdMs) => {
      await begin();
      await delay(holdMs);
      await end();
    },
  };
}
