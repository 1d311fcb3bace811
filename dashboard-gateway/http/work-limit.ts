import { retryLater } from './problem.ts';
import { Shares } from './shares.ts';

export interface WorkShares {
  /** Most tasks at once. */
  readonly running: number;
  /** Most of them for one share. Less than `running`, so that others have room whatever one share asks for. */
  readonly runningOfOne: number;
  /** Most tasks that wait. One more replaces the newest of whoever has most waiting, or is refused. */
  readonly waiting: number;
}

interface WaitingTask {
  readonly shares: readonly string[];
  readonly begin: () => void;
  readonly refuse: () => void;
}

/**
 * Runs some tasks at once and lets some wait. Whoever asks for much waits behind itself: the owners of waiting tasks take turns.
 */
export class WorkLimit {
  private readonly running: Shares;
  private readonly waiting: number;
  /** By owner, the one whose turn it is first. */
  private readonly queues = new Map<string, WaitingTask[]>();
  private waits = 0;

  constructor({ running, runningOfOne, waiting }: WorkShares) {
    this.running = new Shares(running, runningOfOne);
    this.waiting = waiting;
  }

  /**
   * Runs `work` when it is its turn, and resolves or rejects as it does. `shares` says for whom: first its owner, then what
   * else it counts for, as `farm north`. Rejects with HttpProblem `busy` when too many wait, and this owner has as many as any.
   */
  async run<T>(shares: readonly string[], work: () => Promise<T>): Promise<T> {
    if (!this.running.take(shares)) await this.wait(shares);
    try {
      return await work();
    } finally {
      this.running.leave(shares);
      this.next();
    }
  }

  /** Resolves when the task counts as running. */
  private wait(shares: readonly string[]): Promise<void> {
    const [owner = ''] = shares;
    const queue = this.queues.get(owner) ?? [];
    if (this.waits >= this.waiting && !this.giveWay(queue.length)) throw retryLater('busy', 1);
    return new Promise((resolve, reject) => {
      queue.push({ shares, begin: resolve, refuse: () => reject(retryLater('busy', 1)) });
      this.queues.set(owner, queue);
      this.waits += 1;
    });
  }

  /** Refuses the newest waiting task of whoever has most, when that is more than `count`. */
  private giveWay(count: number): boolean {
    let longest: [string, WaitingTask[]] | undefined;
    for (const entry of this.queues) if (entry[1].length > (longest?.[1].length ?? count)) longest = entry;
    if (longest === undefined) return false;
    const [owner, queue] = longest;
    queue.pop()?.refuse();
    this.waits -= 1;
    if (queue.length === 0) this.queues.delete(owner);
    return true;
  }

  private next(): void {
    for (const [owner, queue] of this.queues) {
      const at = queue.findIndex(({ shares }) => this.running.hasRoom(shares));
      if (at < 0) continue;
      const [task] = queue.splice(at, 1);
      // It goes to the end: the others have their turn first.
      this.queues.delete(owner);
      if (queue.length > 0) this.queues.set(owner, queue);
      this.waits -= 1;
      if (task) {
        this.running.take(task.shares);
        task.begin();
      }
      return;
    }
  }
}

/** What something that a user asks of a farm counts for. */
export function sharesOf(user: string, farm: string): readonly string[] {
  return [`user ${user}`, farmShare(farm)];
}

/** The share of all users of a farm. */
export function farmShare(farm: string): string {
  return `farm ${farm}`;
}
