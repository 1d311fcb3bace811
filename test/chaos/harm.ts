import { readFile, stat, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Store } from '../../backbone/ports/store.ts';
import { compare, type Stored } from '../../cli/audit-compare.ts';
import { readPromises } from '../../simulators/load/acknowledged-readings.ts';
import type { Fault, Harm } from './fault.ts';
import type { Stage } from './stage.ts';

/** What a fault that takes something away has left, as far as it was seen. */
export interface HarmSeen {
  readonly harm: Harm;
  /** Missing readings that were acknowledged some seconds before the fault began, or after it was over. */
  readonly missingBefore: number;
  readonly missingAfter: number;
  /** Until the account called something lost, s after the queue went on; undefined when it did not. */
  readonly seenAfterS: number | undefined;
  /** Dead letters with the reason of the fault, since it began. */
  readonly setAside: number;
}

/** A promise file is written every second: after this time it has what is acknowledged now, and that has been worked off. */
const WRITTEN_MS = 5_000;
/** Two minutes, and the beats between which they are counted. */
const MOST_UNSEEN_MS = 170_000;

/** Which readings were acknowledged before, during and after a fault that takes something away, and when the account says so. */
export class HarmWatch {
  private readonly stage: Stage;
  private readonly promises: string;
  private readonly fault: Fault;
  private readonly from: number;
  private readonly asideBefore: number;
  private to = 0;
  private seenAfterS: number | undefined;

  private constructor(stage: Stage, promises: string, fault: Fault, from: number, asideBefore: number) {
    this.stage = stage;
    this.promises = promises;
    this.fault = fault;
    this.from = from;
    this.asideBefore = asideBefore;
  }

  /** Resolves when what was acknowledged until now has been worked off. */
  static async before(stage: Stage, promises: string, fault: Fault): Promise<HarmWatch> {
    const { size } = await stat(promises);
    await delay(WRITTEN_MS);
    return new HarmWatch(stage, promises, fault, size, await asideOf(stage, fault));
  }

  /** Resolves when the account has said that something is lost, or where its numbers went too that it does not know, where it has to. `said` asks it. */
  async after(said: () => Promise<{ lost: number; unknown: number }>): Promise<void> {
    const began = Date.now();
    await delay(WRITTEN_MS);
    this.to = (await stat(this.promises)).size;
    const { harm } = this.fault;
    if (harm !== 'destroys' && harm !== 'destroysAccount') return;
    while (Date.now() - began < MOST_UNSEEN_MS) {
      const { lost, unknown } = await said();
      if (lost > 0 || (harm === 'destroysAccount' && unknown > 0)) {
        this.seenAfterS = (Date.now() - began) / 1_000;
        // A beat later it has called lost all that it is going to.
        await delay(20_000);
        return;
      }
      await delay(1_000);
    }
  }

  /** Looks into the store when everything has been worked off. */
  async look(stage: Stage): Promise<HarmSeen> {
    const text = await readFile(this.promises, 'utf8');
    const store = await stage.settled();
    const missing = async (lines: string) => {
      const part = `${this.promises}.part`;
      await writeFile(part, lines);
      return (await compare(readPromises(part), seqsOf(store))).missing;
    };
    try {
      return {
        harm: this.fault.harm ?? 'destroys',
        missingBefore: await missing(text.slice(0, this.from)),
        missingAfter: await missing(text.slice(this.to)),
        seenAfterS: this.seenAfterS,
        setAside: (await asideOf(this.stage, this.fault)) - this.asideBefore,
      };
    } finally {
      await store.close();
    }
  }
}

async function asideOf({ roles }: Stage, { reason }: Fault): Promise<number> {
  if (reason === undefined) return 0;
  const counts = await Promise.all(Object.values(roles).map((role) => role.setAside(reason)));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Sequence numbers as a store has them. */
export function seqsOf(store: Store) {
  return async function* (farm: string, sensor: string, from: number, to: number): AsyncIterable<Stored> {
    for await (const { ts, value } of store.export({ farm, sensors: [sensor], metrics: ['seq'], from, to })) {
      yield { ts, value };
    }
  };
}
