/** Lets at most `most` pieces of work run at once; the others wait for their turn, in order. */
export class Turns {
  private readonly most: number;
  private running = 0;
  private readonly waiting: { begin(): void; refuse(error: Error): void }[] = [];

  constructor(most: number) {
    this.most = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.running < this.most) this.running += 1;
    else await new Promise<void>((begin, refuse) => this.waiting.push({ begin, refuse }));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      // Its turn goes on as the next one's.
      if (next) next.begin();
      else this.running -= 1;
    }
  }

  /** Refuses what waits. */
  refuse(why: string): void {
    for (const { refuse } of this.waiting.splice(0)) refuse(new Error(why));
  }
}
