import { createHistogram } from 'node:perf_hooks';
import { type Ledger, type SensorAccount, sensorKey } from './ledger.ts';
import { type Latency, latencyOf } from './load/report.ts';

/** One acknowledged reading that is neither stored nor a dead letter. */
export interface Missing {
  readonly farm: string;
  readonly sensor: string;
  readonly seq: number;
}

/** What became of every reading of a run. */
export interface RunVerdict {
  readonly ok: boolean;
  readonly published: number;
  readonly acknowledged: number;
  readonly stored: number;
  readonly seen: number;
  /** QoS 1 readings that were never acknowledged. */
  readonly unacknowledged: number;
  /** Readings that Loam refused, such as those of clocks far ahead, and kept as dead letters. */
  readonly refused: number;
  /** Acknowledged, neither stored nor a dead letter: lost. The first of them, and how many there are. */
  readonly missing: readonly Missing[];
  readonly missingCount: number;
  /** Stored readings that were never shown to the viewer. */
  readonly unseen: number;
  /**
   * Unreadable messages that were acknowledged, and how many of them are dead letters; undefined when dead letters
   * could not be asked for.
   */
  readonly unreadable: number;
  readonly deadLetters: number | undefined;
  /** From when a reading was due to its acknowledgement, to the viewer, and (some of them) to the store. */
  readonly acknowledgedMs: Latency | undefined;
  readonly storedMs: Latency | undefined;
  readonly seenMs: Latency | undefined;
  /** Readings beyond the ledger's limit, which are not accounted for. */
  readonly overflow: number;
}

/** Dead letters of one sensor: how many have no reading in them, and the numbers of the readings in the others. */
export interface Dead {
  readonly unreadable: number;
  readonly seqs: ReadonlySet<number>;
}

/** What was found at the receiver. */
export interface Findings {
  /** Sequence numbers in the store, by `sensorKey`. */
  readonly stored: ReadonlyMap<string, ReadonlySet<number>>;
  /** Dead letters of this run, by `sensorKey`. */
  readonly deadLetters: ReadonlyMap<string, Dead> | undefined;
  /** How long some readings took from when they were due until the store had them, ms. */
  readonly storedMs: readonly number[];
}

const MOST_NAMED = 20;

/**
 * Compares what was published with what was found. `ok` when every QoS 1 reading is acknowledged, every acknowledged
 * one is stored or a dead letter, every unreadable message is a dead letter, and no reading was beyond the ledger's
 * limit.
 */
export function verdictOf(ledger: Ledger, { stored, deadLetters, storedMs }: Findings): RunVerdict {
  const accounts = [...ledger.accounts.values()];
  const storedOf = ({ farm, sensor }: SensorAccount) => stored.get(sensorKey(farm, sensor));
  const deadOf = ({ farm, sensor }: SensorAccount) => deadLetters?.get(sensorKey(farm, sensor));
  const missing = accounts.flatMap((account) => missingOf(account, storedOf(account), deadOf(account)));
  const sum = (of: (account: SensorAccount) => number) => accounts.reduce((total, account) => total + of(account), 0);
  const unreadable = sum((account) => account.unreadable);
  const dead = deadLetters && sum((account) => Math.min(account.unreadable, deadOf(account)?.unreadable ?? 0));
  const unacknowledged = sum(({ qos, due, acknowledged }) => (qos === 1 ? due.size - acknowledged.size : 0));
  const kept = (account: SensorAccount) => [...account.due.keys()].filter((seq) => storedOf(account)?.has(seq));
  const storedCount = sum((account) => kept(account).length);
  return {
    ok: missing.length === 0 && unacknowledged === 0 && ledger.overflow === 0 && (dead ?? unreadable) === unreadable,
    published: sum(({ due }) => due.size),
    acknowledged: sum(({ acknowledged }) => acknowledged.size),
    stored: storedCount,
    seen: sum(({ seen }) => seen.size),
    unacknowledged,
    refused: sum((account) => {
      const dead = deadOf(account)?.seqs;
      return [...account.acknowledged.keys()].filter((seq) => dead?.has(seq)).length;
    }),
    missing: missing.slice(0, MOST_NAMED),
    missingCount: missing.length,
    unseen: sum((account) => kept(account).filter((seq) => !account.seen.has(seq)).length),
    unreadable,
    deadLetters: dead,
    acknowledgedMs: spread(accounts.flatMap(({ due, acknowledged }) => times(due, acknowledged))),
    storedMs: spread(storedMs),
    seenMs: spread(accounts.flatMap(({ due, seen }) => times(due, seen))),
    overflow: ledger.overflow,
  };
}

/** Acknowledged readings that were lost. None with QoS 0, which does not promise to keep anything. */
function missingOf(account: SensorAccount, stored: ReadonlySet<number> | undefined, dead: Dead | undefined): Missing[] {
  const { farm, sensor, qos, acknowledged } = account;
  if (qos === 0) return [];
  return [...acknowledged.keys()]
    .filter((seq) => !stored?.has(seq) && !dead?.seqs.has(seq))
    .map((seq) => ({ farm, sensor, seq }));
}

function times(from: ReadonlyMap<number, number>, to: ReadonlyMap<number, number>): number[] {
  return [...to].map(([seq, at]) => at - (from.get(seq) ?? at));
}

function spread(ms: readonly number[]): Latency | undefined {
  const histogram = createHistogram({ lowest: 1, highest: 86_400_000_000, figures: 3 });
  for (const time of ms) histogram.record(Math.min(86_400_000_000, Math.max(1, Math.round(time * 1_000))));
  return latencyOf(histogram);
}

/** A verdict in a few lines for a person. */
export function tellVerdict(verdict: RunVerdict): string[] {
  const { ok, published, acknowledged, stored, seen, missing, missingCount, unseen, unreadable, deadLetters } = verdict;
  const ms = (latency: Latency | undefined) =>
    latency
      ? `p50 ${latency.p50.toFixed(0)} ms, p99 ${latency.p99.toFixed(0)} ms, max ${latency.max.toFixed(0)} ms`
      : 'none';
  const named = missing.map(({ sensor, seq }) => `${sensor} #${seq}`).join(', ');
  return [
    `${published} readings published`,
    `${acknowledged} acknowledged (${ms(verdict.acknowledgedMs)}), ${verdict.unacknowledged} not`,
    `${stored} stored (of some: ${ms(verdict.storedMs)}), ${verdict.refused} refused and kept as dead letters, ${missingCount} acknowledged and lost${named && `: ${named}`}`,
    `${seen} seen by a viewer (${ms(verdict.seenMs)}), ${unseen} stored and not seen`,
    deadLetters === undefined
      ? `${unreadable} unreadable messages acknowledged; dead letters could not be asked for`
      : `${unreadable} unreadable messages acknowledged, ${deadLetters} of them dead letters`,
    ...(verdict.overflow > 0 ? [`${verdict.overflow} readings were too many to account for`] : []),
    ok ? 'All accounted for.' : 'NOT all accounted for.',
  ];
}
