import type { Log, LogEntry } from '../../backbone/ports/log.ts';
import { EncodingInvalid, explain, Trimmed } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { withDeadline } from '../../core/timing.ts';
import { type AccountFinding, BatchAccount, type BatchAccountOptions } from '../../telemetry/account/batch-account.ts';
import { type AccountNote, BEAT_MS, type KeptNote } from '../../telemetry/account/notes.ts';
import type { NumberRange } from '../../telemetry/account/number-ranges.ts';
import { accountEntry, decodeLive, type LiveEntry } from '../../telemetry/batch.ts';
import type { WritesListener } from '../live/feed/feed.ts';

export interface AccountKeeperOptions extends BatchAccountOptions {
  /** Offsets of the live log grow by one: where they do not, entries are missing. */
  readonly isGapless?: boolean;
}

export interface AccountKeeperParts extends AccountKeeperOptions {
  readonly live: Log;
  readonly log: Logger;
  readonly metrics?: Metrics | undefined;
  /** What durations are measured by, ms. */
  readonly passed: () => number;
}

/** What is known is written to the log at the latest after so many entries, or beats, so that whoever begins finds it near the end. */
const KEEP_ENTRIES = 500;
const KEEP_BEATS = 4;
/** How far back it is looked for, in entries. Without it runs are counted from what is heard now. */
const LOOK_BACK = [1_000, 4_000, 16_000];
const READ_AT_ONCE = 500;
const MOST_PREPARE_MS = 5_000;
const LAST_KEEP_MS = 1_000;

/**
 * Keeps the account of all batches (`BatchAccount`) from the live log, and says what is lost: in the log, in metrics, and as a part of
 * `/readyz` that does not make the process unready.
 *
 * What it knows it writes to the live log from time to time, so that the next one, of any process, goes on from there: what is suspect at a restart
 * is not forgotten, and what was lost is said once.
 */
export class AccountKeeper implements WritesListener {
  private readonly parts: AccountKeeperParts;
  private readonly account: BatchAccount;
  private readonly beatMs: number;
  private epoch: string | undefined;
  /** The first offset that was not heard. */
  private next: number | undefined;
  private entries = 0;
  private saidUnknown = 0;
  private keptAt: number;
  private keeping: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(parts: AccountKeeperParts) {
    const { beatMs = BEAT_MS, metrics, passed } = parts;
    this.parts = parts;
    this.beatMs = beatMs;
    this.account = new BatchAccount(parts);
    this.keptAt = passed();
    const { account } = this;
    metrics?.gauge(
      'loam_batches_suspect',
      'Batches that the queue has confirmed, that are not worked off and in nobody’s hands',
      () => account.suspected,
    );
    metrics?.gauge('loam_batches_lost', 'Batches that were lost within a day', () => this.lostBatches());
    metrics?.counts('loam_account_total', 'What became of the account of batches, by event', () => account.counts);
  }

  start(): void {
    this.timer = setInterval(() => this.keepIfDue(), this.beatMs);
  }

  /** Resolves when what is known was written, or cannot be: after a second at most. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const last = (this.keeping ?? Promise.resolve()).then(() => this.keep());
    await withDeadline(last, LAST_KEEP_MS, 'the log does not take it').catch(() => {});
  }

  health(): Health[] {
    const { suspected, silentWorkers } = this.account;
    const lost = this.lostBatches();
    const why: string[] = [];
    if (lost > 0)
      why.push(
        `${lost} batches that the queue had confirmed are lost, the last ones within a day: see the log, batches_lost`,
      );
    if (suspected > 0 && silentWorkers.length > 0) {
      why.push(
        `${suspected} batches are not worked off; a worker that says nothing any more may have them (${silentWorkers.length})`,
      );
    }
    return why.length === 0 ? [] : [{ name: 'account', ok: false, optional: true, why: why.join('; ') }];
  }

  /** Goes on where it, or another one, has stopped. Never rejects. */
  async prepare(epoch: string): Promise<void> {
    const late = new AbortController();
    try {
      await withDeadline(this.catchUp(epoch, late.signal), MOST_PREPARE_MS, 'the live log is read too slowly');
    } catch (error) {
      this.account.missed();
      this.next = undefined;
      this.parts.log.warn({ why: explain(error) }, 'the account of batches begins anew');
    } finally {
      late.abort();
    }
    this.epoch = epoch;
  }

  begin(): void {}

  wrote({ account }: LiveEntry, offset: number): void {
    this.heard(account ?? [], offset);
    this.entries += 1;
    if (this.entries >= KEEP_ENTRIES) this.keepSoon();
  }

  private lostBatches(): number {
    return this.account.lost.flatMap(({ ranges }) => ranges).reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  private async catchUp(epoch: string, signal: AbortSignal): Promise<void> {
    const { live } = this.parts;
    const { first, next } = await live.head();
    if (signal.aborted) return;
    if (this.epoch !== undefined && this.epoch !== epoch) {
      this.account.missed();
      this.next = undefined;
    }
    if (this.next === undefined) {
      const kept = this.epoch === undefined ? await this.findKept(epoch, first, next, signal) : undefined;
      // Who has begun anew must not go on from what was found too late: nobody reads what came after that.
      if (signal.aborted) return;
      if (kept) this.account.restore(kept);
      this.next = Math.max(first, kept?.next ?? next - (LOOK_BACK[0] ?? 0));
    }
    const furthest = next - (LOOK_BACK.at(-1) ?? 0);
    if (this.next < Math.max(first, furthest)) {
      this.account.missed();
      this.next = Math.max(first, furthest);
    }
    await this.read(epoch, this.next, next, signal, ({ offset, body }) => this.heard(notesOf(body), offset));
  }

  /** The newest state that was written; undefined when there is none near the end. */
  private async findKept(
    epoch: string,
    first: number,
    end: number,
    signal: AbortSignal,
  ): Promise<KeptNote | undefined> {
    let to = end;
    for (const entries of LOOK_BACK) {
      const from = Math.max(first, end - entries);
      let found: KeptNote | undefined;
      await this.read(epoch, from, to, signal, ({ body }) => {
        // It stands alone: what has readings beside it is not unpacked.
        if (body[2] !== EMPTY_TEXT) return;
        for (const note of notesOf(body)) if (note.is === 'kept' && note.epoch === epoch) found = note;
      });
      if (found || from === first) return found;
      to = from;
    }
    return undefined;
  }

  /** Reads the entries from <= offset < to. What was trimmed meanwhile is missed. */
  private async read(
    epoch: string,
    from: number,
    to: number,
    signal: AbortSignal,
    take: (entry: LogEntry) => void,
  ): Promise<void> {
    for (let next = from; next < to && !signal.aborted; ) {
      try {
        const entries = await this.parts.live.read({ offset: next, epoch }, READ_AT_ONCE);
        if (entries.length === 0 || signal.aborted) return;
        for (const entry of entries) if (entry.offset < to) take(entry);
        next = (entries.at(-1)?.offset ?? to) + 1;
      } catch (error) {
        if (!(error instanceof Trimmed)) throw error;
        this.account.missed();
        next = error.first;
      }
    }
  }

  private heard(notes: readonly AccountNote[], offset: number): void {
    const { isGapless = false, passed } = this.parts;
    if (this.next !== undefined && offset < this.next) return;
    if (isGapless && this.next !== undefined && offset > this.next) this.account.missed();
    this.next = offset + 1;
    if (notes.length === 0) return;
    for (const finding of this.account.hear(notes, passed())) this.say(finding);
    this.sayUnknown();
    if (!notes.some(({ is }) => is === 'kept')) return;
    this.entries = 0;
    this.keptAt = passed();
  }

  private say({ is, run, entrance, batches, ranges }: AccountFinding): void {
    const { log } = this.parts;
    const about = { run, entrance, batches, numbers: inWords(ranges) };
    if (is === 'lost') {
      log.error(
        { event: 'batches_lost', ...about },
        `${batches} batches that the queue had confirmed were never worked off, and nobody has them: what was in them is lost`,
      );
    } else {
      log.warn(
        { event: 'batches_found', ...about },
        `${batches} batches that were called lost were worked off after all`,
      );
    }
  }

  private sayUnknown(): void {
    const batches = this.account.counts.unknown - this.saidUnknown;
    if (batches === 0) return;
    this.saidUnknown += batches;
    this.parts.log.warn(
      { event: 'batches_unknown', batches },
      `of ${batches} batches that the queue had confirmed nobody knows whether they were worked off: what the live log said of them is gone`,
    );
  }

  private keepIfDue(): void {
    if (this.parts.passed() - this.keptAt >= KEEP_BEATS * this.beatMs) this.keepSoon();
  }

  private keepSoon(): void {
    this.keeping ??= this.keep().finally(() => {
      this.keeping = undefined;
    });
  }

  /** Writes what is known. Never rejects: another one writes it later. */
  private async keep(): Promise<void> {
    const { epoch, next } = this;
    const state = this.account.state();
    if (epoch === undefined || next === undefined || state.runs.length === 0) return;
    this.entries = 0;
    this.keptAt = this.parts.passed();
    try {
      await this.parts.live.append(accountEntry([{ is: 'kept', epoch, next, ...state }]));
    } catch (error) {
      this.parts.log.debug({ why: explain(error) }, 'the account of batches cannot be kept now');
    }
  }
}

/** In an entry, of five elements where it has notes, the third byte begins the id. */
const LIST_OF_5 = 0x95;
const EMPTY_TEXT = 0xa0;
const MOST_SAID = 20;

/** The notes of an entry; most have none, and are not unpacked. */
function notesOf(body: Uint8Array): readonly AccountNote[] {
  if (body[0] !== LIST_OF_5) return [];
  try {
    return decodeLive(body).account ?? [];
  } catch (error) {
    if (error instanceof EncodingInvalid) return [];
    throw error;
  }
}

function inWords(ranges: readonly NumberRange[]): string {
  const said = ranges.slice(0, MOST_SAID).map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`));
  return said.join(', ') + (ranges.length > MOST_SAID ? ', …' : '');
}
