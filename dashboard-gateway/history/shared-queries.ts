type Begin<T> = (signal: AbortSignal, begun: () => void) => Promise<T>;

interface SharedQuery<T> {
  readonly outcome: Promise<T>;
  readonly ending: AbortController;
  readonly owner: string;
  callers: number;
  /** Whether it is being done, and not only waits for its turn. */
  hasBegun: boolean;
}

/**
 * Shares work between callers who ask for the same at the same time. It is aborted when the last caller leaves. Work that
 * waits for the turn of its owner is shared with that owner only: nobody waits behind what another one asked for.
 */
export class SharedQueries<T> {
  private readonly underWay = new Map<string, SharedQuery<T>>();

  /**
   * Resolves or rejects as the work named `key` does; `begin` starts it for `owner` when it is not running yet, and calls
   * `begun` when it is its turn. Rejects with the reason of `left` when that is aborted.
   */
  async join(key: string, owner: string, left: AbortSignal, begin: Begin<T>): Promise<T> {
    left.throwIfAborted();
    const known = this.underWay.get(key);
    const flight = known && (known.hasBegun || known.owner === owner) ? known : this.start(key, owner, begin);
    flight.callers++;
    let leave = () => {};
    const gone = new Promise<never>((_, reject) => {
      leave = () => reject(left.reason);
    });
    left.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([flight.outcome, gone]);
    } finally {
      left.removeEventListener('abort', leave);
      flight.callers--;
      if (flight.callers === 0) {
        if (this.underWay.get(key) === flight) this.underWay.delete(key);
        flight.ending.abort(new Error('everybody has left'));
      }
    }
  }

  private start(key: string, owner: string, begin: Begin<T>): SharedQuery<T> {
    const ending = new AbortController();
    let flight: SharedQuery<T> | undefined;
    let hasBegun = false;
    const outcome = begin(ending.signal, () => {
      hasBegun = true;
      if (flight === undefined) return;
      flight.hasBegun = true;
      // Others may have asked for the same since, and wait: who comes now joins the one that is being done.
      this.underWay.set(key, flight);
    });
    flight = { outcome, ending, owner, callers: 0, hasBegun };
    this.underWay.set(key, flight);
    return flight;
  }
}
