import { appendFile, readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Fault } from './fault.ts';
import { faultsOf } from './faults.ts';
import { Dice } from './random.ts';
import { type ChaosOptions, type ChaosResult, chaos } from './run.ts';
import type { Stage } from './stage.ts';

const counted = z.object({
  round: z.number(),
  seed: z.number(),
  faults: z.array(z.object({ name: z.string(), seconds: z.number() })),
  acknowledged: z.number(),
  missing: z.number(),
  doubled: z.number(),
  unacknowledged: z.number(),
  /** Batches. */
  lost: z.number(),
  suspect: z.number(),
  unknown: z.number(),
  /** What the fault of the round takes away; where it is told, the round has no other. */
  harm: z.enum(['destroys', 'destroysAccount', 'emptiesStore', 'setsAside']).optional(),
  missingOutside: z.number().optional(),
  setAside: z.number().optional(),
  seenAfterS: z.number().optional(),
  /** What did not hold; empty when all did. */
  broken: z.array(z.string()),
});

/** A line of a file of rounds: what one of them came to. */
export type RoundResult = z.infer<typeof counted>;

const header = z.object({ faults: z.number(), only: z.string(), seed: z.number(), kinds: z.number() });

export interface RoundsOptions extends Omit<ChaosOptions, 'faults' | 'dice'> {
  /** How many things break, over all rounds. */
  readonly faults: number;
  /** Only those whose names have this in them. */
  readonly only: string;
  readonly seed: number;
  /** A file that gets a line a round; rounds that it has are not run again. */
  readonly file?: string | undefined;
  readonly say: (line: string) => void;
  /** Told of a round in which something did not hold, before its stage is closed. */
  readonly keep?: (stage: Stage, round: number) => Promise<void>;
}

const IN_A_ROUND = 8;
const SEEN_WITHIN_S = 150;

/** One short run after another, each on a stage of its own. Resolves to what each came to, in order. */
export async function runRounds(start: () => Promise<Stage>, options: RoundsOptions): Promise<RoundResult[]> {
  const { seed, only, say, file } = options;
  let stage: Stage | undefined = await start();
  const kinds = faultsOf(stage).filter(({ name }) => only.split('|').some((part) => name.includes(part)));
  const plan = roundsOf(kinds, options.faults, new Dice(seed));
  say(`${kinds.length} kinds of faults, ${options.faults} faults in ${plan.length} rounds`);
  const done = await doneOf(file, { faults: options.faults, only, seed, kinds: kinds.length });
  for (const [round, names] of plan.entries()) {
    if (done.some((each) => each.round === round)) continue;
    say(`round ${round + 1} of ${plan.length}`);
    stage ??= await start();
    const result = await runRound(stage, names, round, options).catch((error) =>
      notRun(names, round, options.seed, error),
    );
    for (const line of result.broken) say(`DOES NOT HOLD: ${line}`);
    if (result.broken.length > 0) await options.keep?.(stage, round + 1);
    await stage.close();
    stage = undefined;
    done.push(result);
    if (file !== undefined) await appendFile(file, `${JSON.stringify(result)}\n`);
  }
  await stage?.close();
  return done.sort((a, b) => a.round - b.round);
}

/** Which faults each round has: eight, or one that takes something away. */
function roundsOf(kinds: readonly Fault[], count: number, dice: Dice): string[][] {
  const drawn = dice.draw(kinds, count);
  const harmless = drawn.filter(({ harm }) => harm === undefined).map(({ name }) => name);
  const rounds = drawn.filter(({ harm }) => harm !== undefined).map(({ name }) => [name]);
  while (harmless.length > 0) rounds.push(harmless.splice(0, IN_A_ROUND));
  return dice.draw(rounds, rounds.length);
}

/** Rejects when the file is of another plan. */
async function doneOf(file: string | undefined, wanted: z.infer<typeof header>): Promise<RoundResult[]> {
  if (file === undefined) return [];
  const text = await readFile(file, 'utf8').catch(() => '');
  const [first = '', ...lines] = text.split('\n').filter((line) => line !== '');
  if (first === '') {
    await appendFile(file, `${JSON.stringify(wanted)}\n`);
    return [];
  }
  const found = header.parse(JSON.parse(first));
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${file} is of another run: ${first}`);
  return lines.map((line) => counted.parse(JSON.parse(line)));
}

async function runRound(
  stage: Stage,
  names: readonly string[],
  round: number,
  options: RoundsOptions,
): Promise<RoundResult> {
  const seed = seedOf(options.seed, round);
  const possible = faultsOf(stage);
  const faults = names.flatMap((name) => possible.filter((fault) => fault.name === name));
  const result = await chaos(stage, { ...options, faults, dice: new Dice(seed) });
  const { audit, load, account, harm } = result;
  return {
    round,
    seed,
    faults: result.happened.map(({ fault, seconds }) => ({ name: fault, seconds })),
    acknowledged: audit.promised,
    missing: audit.missing,
    doubled: audit.duplicates,
    unacknowledged: load.unacknowledged,
    lost: account.lost,
    suspect: account.suspect,
    unknown: account.unknown,
    ...(harm && {
      harm: harm.harm,
      missingOutside: harm.missingAfter + (harm.harm === 'emptiesStore' ? 0 : harm.missingBefore),
      setAside: harm.setAside,
      ...(harm.seenAfterS !== undefined && { seenAfterS: harm.seenAfterS }),
    }),
    broken: brokenIn(result),
  };
}

/** A round that came to no end: something was not as the test thought, or Loam did not come back. */
function notRun(names: readonly string[], round: number, seed: number, error: unknown): RoundResult {
  const nothing = { acknowledged: 0, missing: 0, doubled: 0, unacknowledged: 0, lost: 0, suspect: 0, unknown: 0 };
  const faults = names.map((name) => ({ name, seconds: 0 }));
  return { round, seed: seedOf(seed, round), faults, ...nothing, broken: [`it came to no end: ${String(error)}`] };
}

const seedOf = (seed: number, round: number) => seed * 10_000 + round;

/** What was promised and does not hold, in words. */
function brokenIn({ audit, load, account, harm }: ChaosResult): string[] {
  const broken: string[] = [];
  const must = (holds: boolean, otherwise: string) => {
    if (!holds) broken.push(otherwise);
  };
  must(audit.promised > 0, 'nothing was acknowledged');
  must(audit.duplicates === 0, `${audit.duplicates} readings are there twice`);
  must(load.unacknowledged === 0, `${load.unacknowledged} publishes were never acknowledged`);
  must(account.asked > 0, 'no gateway was asked for the account');
  const mayLose = harm?.harm === 'destroys' || harm?.harm === 'destroysAccount';
  if (!mayLose) must(account.lost === 0, `the account calls ${account.lost} batches lost`);
  must(account.suspect === 0, `${account.suspect} batches are suspect at the end`);
  if (!harm) {
    must(audit.missing === 0, `${audit.missing} readings are missing: ${JSON.stringify(audit.examples.slice(0, 3))}`);
    return broken;
  }
  must(harm.missingAfter === 0, `${harm.missingAfter} readings are missing that came after the fault`);
  if (harm.harm === 'emptiesStore') return broken;
  must(harm.missingBefore === 0, `${harm.missingBefore} readings are missing that came before the fault`);
  if (harm.harm === 'setsAside') {
    must(audit.missing <= harm.setAside, `${audit.missing} readings are missing, ${harm.setAside} were set aside`);
    return broken;
  }
  must(audit.missing > 0, 'the fault took nothing away: it shows nothing');
  if (harm.harm === 'destroysAccount') {
    must(account.lost + account.unknown > 0, `${audit.missing} readings are missing, and the account says nothing`);
    return broken;
  }
  must(account.lost > 0 === audit.missing > 0, `${audit.missing} readings are missing, ${account.lost} batches lost`);
  must((harm.seenAfterS ?? 0) <= SEEN_WITHIN_S, `the loss was seen after ${harm.seenAfterS} s only`);
  return broken;
}
