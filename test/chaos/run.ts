import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Audit, compare } from '../../cli/audit-compare.ts';
import { readPromises } from '../../simulators/load/acknowledged-readings.ts';
import { runLoad } from '../../simulators/load/load.ts';
import type { LoadPace, LoadPlan } from '../../simulators/load/plan.ts';
import type { LoadReport } from '../../simulators/load/report.ts';
import type { Fault } from './fault.ts';
import { type HarmSeen, HarmWatch, seqsOf } from './harm.ts';
import type { Dice } from './random.ts';
import type { Stage } from './stage.ts';

export interface ChaosOptions {
  readonly faults: readonly Fault[];
  readonly dice: Dice;
  readonly pace: LoadPace;
  /** How long something stays broken, and how long Loam has for itself before the next fault: from, to, ms. */
  readonly holdMs: readonly [number, number];
  readonly restMs: readonly [number, number];
  /** Told of every fault as it happens. */
  readonly say?: (line: string) => void;
  readonly more?: Partial<LoadPlan>;
}

export interface ChaosResult {
  readonly audit: Audit;
  readonly load: LoadReport;
  /** What happened, and when, s after the load began. */
  readonly happened: readonly { readonly at: number; readonly fault: string; readonly seconds: number }[];
  /** When publishing began and ended, Unix ms. */
  readonly began: number;
  readonly ended: number;
  /** From the end of the load until everything promised was stored. */
  readonly settledAfterS: number;
  /** What the account of batches says is lost: at most, after any fault and at the end; and how often a gateway was asked. */
  readonly account: Readonly<AccountWatch>;
  /** Where a fault took something away. */
  readonly harm?: HarmSeen;
}

interface AccountWatch {
  lost: number;
  /** Batches that are suspect at the end, when everything was worked off. */
  suspect: number;
  asked: number;
  /** Batches of which nobody knows what became of them, because what was said of them is gone: since the gateways were started, at most. */
  unknown: number;
}

/** Acknowledgements that a long outage holds back are waited for at the end. */
const GRACE_MS = 90_000;
const SETTLE_MS = 120_000;
const MOST_SUSPECT_MS = 60_000;

/** Publishes with sequence numbers while one fault after another happens, and compares what was acknowledged with what is stored. */
export async function chaos(stage: Stage, options: ChaosOptions): Promise<ChaosResult> {
  const { dice, faults, say = () => {} } = options;
  const promises = join(stage.folder, 'promises.ndjson');
  await appendFile(promises, '');
  const over = new AbortController();
  let begun = () => {};
  const flowing = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const load = runLoad(
    {
      url: stage.mqttUrl,
      connections: stage.connections,
      pace: options.pace,
      qos: 1,
      inFlight: 64,
      // Readings of now: old ones would be backfill, which goes another way through the gateway.
      times: { are: 'stepped', first: Date.now(), step: 1 },
      keepaliveS: 30,
      graceMs: GRACE_MS,
      promises,
      ...options.more,
    },
    { signal: over.signal, onBegin: () => begun() },
  );
  const account = { lost: 0, suspect: 0, asked: 0, unknown: 0 };
  const happened: { at: number; fault: string; seconds: number }[] = [];
  let harm: HarmWatch | undefined;
  // Where a fault fails nobody waits for it any more.
  load.catch(() => {});
  await Promise.race([flowing, load]);
  const began = Date.now();
  try {
    for (const fault of faults) {
      await delay(dice.between(...options.restMs));
      const watch = fault.harm ? await HarmWatch.before(stage, promises, fault) : undefined;
      const at = Date.now();
      say(`${((at - began) / 1_000).toFixed(1)} s: ${fault.name}`);
      const mended = fault.happen(dice.between(...options.holdMs), dice);
      await Promise.all([mended, stage.hosts?.edits.during(mended)]);
      happened.push({ at: (at - began) / 1_000, fault: fault.name, seconds: (Date.now() - at) / 1_000 });
      await watch?.after(() => askAccount(stage, account).then(() => account));
      harm = watch ?? harm;
      await askAccount(stage, account);
    }
    await delay(dice.between(...options.restMs));
  } finally {
    over.abort();
  }
  await stage.hosts?.edits.signIn(stage.mqttUrl);
  const ended = Date.now();
  const report = await load;
  say(`load ended: ${report.acknowledged} acknowledged, ${report.unacknowledged} not`);
  const answered = Date.now();
  const audit = await settle(stage, promises, say, account, harm !== undefined);
  const seen = await harm?.look(stage);
  return {
    audit,
    load: report,
    happened,
    began,
    ended,
    settledAfterS: (Date.now() - answered) / 1_000,
    account,
    ...(seen && { harm: seen }),
  };
}

/** Asks the gateways what is lost, as far as they answer. */
async function askAccount(stage: Stage, account: AccountWatch): Promise<void> {
  account.suspect = 0;
  for (const role of Object.values(stage.roles)) {
    const lost = await role.metric('loam_batches_lost');
    if (lost === undefined) continue;
    account.lost = Math.max(account.lost, lost);
    account.suspect += (await role.metric('loam_batches_suspect')) ?? 0;
    const unknown = (await role.metric('loam_account_total{event="unknown"}')) ?? 0;
    account.unknown = Math.max(account.unknown, unknown);
    account.asked += 1;
  }
}

/** What is suspect is looked at with each beat; all of it was worked off. */
async function askAccountAtEnd(stage: Stage, account: AccountWatch): Promise<void> {
  const end = Date.now() + MOST_SUSPECT_MS;
  await askAccount(stage, account);
  while (account.suspect > 0 && Date.now() < end) {
    await delay(1_000);
    await askAccount(stage, account);
  }
}

/** For whoever looks for what is missing: what each role says of itself, before it is ended. */
async function sayWhereItStands({ roles }: Stage, say: (line: string) => void): Promise<void> {
  for (const [name, role] of Object.entries(roles)) {
    const [depth, held] = [await role.metric('loam_queue_depth'), await role.metric('loam_worker_held_readings')];
    say(`${name}: ${depth ?? '-'} messages in the queue, ${held ?? '-'} readings in hand`);
  }
}

/** Waits until everything promised is stored, as long as it becomes more; `isHarmed`: or until what is missing stays the same. */
async function settle(
  stage: Stage,
  promises: string,
  say: (line: string) => void,
  account: AccountWatch,
  isHarmed: boolean,
): Promise<Audit> {
  const { up } = stage.roles;
  const end = Date.now() + SETTLE_MS;
  while (up && (await up.metric('loam_queue_depth')) !== 0 && Date.now() < end) await delay(250);
  if (up) {
    const [depth, written] = [
      await up.metric('loam_queue_depth'),
      await up.metric('loam_readings_written_total{farm="north"}'),
    ];
    say(`messages that wait at the end: ${depth}; readings stored by the last process: ${written}`);
  }
  if (up) await askAccountAtEnd(stage, account);
  if (stage.audit) return await stage.audit(promises);
  const store = await stage.settled();
  let before = Number.NaN;
  try {
    for (;;) {
      const audit = await compare(readPromises(promises), seqsOf(store));
      if (audit.missing === 0 || up || Date.now() > end || (isHarmed && audit.missing === before)) {
        if (!up) await askAccountAtEnd(stage, account);
        if (audit.missing > 0 && !isHarmed) await sayWhereItStands(stage, say);
        return audit;
      }
      before = audit.missing;
      // What is taken away for good does not become less.
      await delay(isHarmed ? 5_000 : 500);
    }
  } finally {
    await store.close();
  }
}
