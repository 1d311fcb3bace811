import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import { Watched } from '../../core/lifecycle.ts';

interface PendingWrite<Change> {
  readonly change: Change;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface GroupCommitLimits {
  /** Most changes and most bytes in one transaction. A change's bytes are what `add` was given. */
  readonly mostChanges: number;
  readonly mostBytes: number;
  /** How long a transaction may take before every `add` that waits rejects, because the disk does not answer. */
  readonly deadlineMs: number;
  /** How long to wait after a failure before the disk is tried again. */
  readonly retryMs: number;
}

const DEFAULTS: GroupCommitLimits = { mostChanges: 4_096, mostBytes: 16 * 2 ** 20, deadlineMs: 20_000, retryMs: 500 };

/**
 * Many small changes in few transactions: while one transaction is being written to disk, changes wait, and the next
 * one takes them all. One transaction runs at a time, so changes are kept in the order in which they were added.
 *
 * The state is `up` while transactions succeed. After one fails it is `down`, and an empty transaction is tried from
 * time to time until one succeeds: so the state comes up again also when all callers wait for that. While a transaction
 * is late, every `add` that waits rejects and further ones are refused; the late changes may still be written.
 */
export class GroupCommit<Change> {
  private readonly commit: (changes: readonly Change[]) => Promise<void>;
  private readonly limits: GroupCommitLimits;
  private waiting: PendingWrite<Change>[] = [];
  private waiters: { readonly after: number; readonly resolve: () => void }[] = [];
  private addedChanges = 0;
  private settledChanges = 0;
  private running: Promise<void> | undefined;
  private due = false;
  private retry: NodeJS.Timeout | undefined;
  private ended = false;
  readonly connection = new Watched();
  /** Set while a transaction takes too long: what `add` rejects with. */
  late: Error | undefined;
  /** How many bytes wait for a transaction. */
  waitingBytes = 0;

  /** `commit` makes one transaction; it resolves when that is on disk and rejects when nothing was kept. */
  constructor(commit: (changes: readonly Change[]) => Promise<void>, limits: Partial<GroupCommitLimits> = {}) {
    this.commit = commit;
    this.limits = { ...DEFAULTS, ...limits };
  }

  /** Resolves when the change is on disk; rejects with what went wrong. */
  add(change: Change, bytes = 0): Promise<void> {
    if (this.late) return Promise.reject(this.late);
    return new Promise((resolve, reject) => {
      this.waiting.push({ change, bytes, resolve, reject });
      this.waitingBytes += bytes;
      this.addedChanges += 1;
      this.start();
    });
  }

  /** Makes a transaction soon, also when no change waits for one. */
  commitSoon(): void {
    this.due = true;
    this.start();
  }

  /** Resolves when every change that was added before is settled. */
  settled(): Promise<void> {
    if (this.settledChanges === this.addedChanges) return Promise.resolve();
    const after = this.addedChanges;
    return new Promise((resolve) => this.waiters.push({ after, resolve }));
  }

  /** Resolves when every change that was added is settled. After that no retry is made. */
  async end(): Promise<void> {
    this.ended = true;
    clearTimeout(this.retry);
    while (this.running !== undefined) await this.running;
    this.connection.set({ is: 'closed' });
  }

  private start(): void {
    this.running ??= this.run();
  }

  private async run(): Promise<void> {
    // Changes that are added in the same turn of the event loop share a transaction.
    await new Promise((resolve) => setImmediate(resolve));
    do {
      await this.one(this.next());
    } while (this.due || this.waiting.length > 0);
    this.running = undefined;
  }

  private next(): PendingWrite<Change>[] {
    this.due = false;
    let bytes = 0;
    let count = 0;
    while (count < this.waiting.length && count < this.limits.mostChanges) {
      bytes += this.waiting[count]?.bytes ?? 0;
      if (count > 0 && bytes > this.limits.mostBytes) break;
      count++;
    }
    const taken = this.waiting.slice(0, count);
    this.waiting = this.waiting.slice(count);
    for (const { bytes } of taken) this.waitingBytes -= bytes;
    return taken;
  }

  private async one(group: readonly PendingWrite<Change>[]): Promise<void> {
    const deadline = setTimeout(() => this.tooLate(group), this.limits.deadlineMs);
    try {
      await this.commit(group.map(({ change }) => change));
      for (const { resolve } of group) resolve();
      this.connection.set({ is: 'up' });
    } catch (error) {
      for (const { reject } of group) reject(error);
      this.down(error);
    } finally {
      clearTimeout(deadline);
      this.late = undefined;
      this.settledChanges += group.length;
      for (const { after, resolve } of this.waiters) if (after <= this.settledChanges) resolve();
      this.waiters = this.waiters.filter(({ after }) => after > this.settledChanges);
    }
  }

  private tooLate(group: readonly PendingWrite<Change>[]): void {
    this.late = new Error(`the disk did not answer in ${this.limits.deadlineMs} ms`);
    for (const { reject } of [...group, ...this.waiting]) reject(this.late);
    this.connection.set({ is: 'down', since: clock.now(), why: this.late.message });
  }

  private down(error: unknown): void {
    this.connection.set({ is: 'down', since: clock.now(), why: explain(error) });
    clearTimeout(this.retry);
    if (this.ended) return;
    this.retry = setTimeout(() => this.start(), this.limits.retryMs);
    this.retry.unref();
  }
}
