import { countingKey } from '../../core/networks.ts';
import { retryLater } from '../http/problem.ts';

/** Whose turn it is. */
export interface Turn {
  readonly address: string;
  /** Whether it comes from a browser or an address where the user was signed in before: it goes first. */
  readonly known: boolean;
}

interface WaitingTurn {
  readonly place: string;
  readonly begin: () => void;
  readonly refuse: () => void;
}

/**
 * Runs some tasks at once and lets some wait. Those that are known go first. Then each address has its turn, however
 * many others wait from one. When there is no room, the address with the most waiting loses its latest; a task that
 * would be that one is refused. Refused tasks reject with HttpProblem `busy`.
 */
export class Turns {
  private readonly maxRunning: number;
  private readonly maxWaiting: number;
  private readonly known: WaitingTurn[] = [];
  private readonly strange = new Map<string, WaitingTurn[]>();
  private strangers = 0;
  private running = 0;

  /** `maxWaiting`: of the known ones, and of the others. */
  constructor(maxRunning: number, maxWaiting: number) {
    this.maxRunning = maxRunning;
    this.maxWaiting = maxWaiting;
  }

  /** Runs `work` when it is its turn, and resolves or rejects as it does. Rejects with HttpProblem `busy` at the limit. */
  async run<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    if (this.running < this.maxRunning) this.running++;
    else await this.wait(turn);
    try {
      return await work();
    } finally {
      this.next();
    }
  }

  private wait({ address, known }: Turn): Promise<void> {
    const place = countingKey(address);
    return new Promise((resolve, reject) => {
      const waiting = { place, begin: resolve, refuse: () => reject(retryLater('busy', 1)) };
      if (!known) this.enter(waiting);
      else if (this.known.length < this.maxWaiting) this.known.push(waiting);
      else waiting.refuse();
    });
  }

  private enter(waiting: WaitingTurn): void {
    const line = this.strange.get(waiting.place) ?? [];
    if (this.strangers >= this.maxWaiting) {
      let longest = line;
      for (const other of this.strange.values()) if (other.length > longest.length) longest = other;
      // Its own address has the most, or everybody has one.
      if (longest.length <= Math.max(line.length, 1)) {
        waiting.refuse();
        return;
      }
      this.strangers--;
      longest.pop()?.refuse();
    }
    line.push(waiting);
    this.strangers++;
    this.strange.set(waiting.place, line);
  }

  /** Hands the place of a task that has ended to the next one. */
  private next(): void {
    const next = this.known.shift() ?? this.nextStranger();
    if (next) next.begin();
    else this.running--;
  }

  private nextStranger(): WaitingTurn | undefined {
    const first = this.strange.entries().next();
    if (first.done) return undefined;
    const [place, line] = first.value;
    const next = line.shift();
    this.strangers--;
    // To the end of the row: the other addresses come before its next one.
    this.strange.delete(place);
    if (line.length > 0) this.strange.set(place, line);
    return next;
  }
}
