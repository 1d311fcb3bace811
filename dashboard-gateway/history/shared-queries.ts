interface SharedQuery<T> {
  readonly outcome: Promise<T>;
  readonly ending: AbortController;
  callers: number;
}

/** Shares work between callers who ask for the same at the same time. It runs once, and is aborted when the last caller leaves. */
export class SharedQueries<T> {
  private readonly underWay = new Map<string, SharedQuery<T>>();

  /**
   * Resolves or rejects as the work named `key` does; `begin` starts it when it is not running yet. Rejects with the
   * reason of `left` when that is aborted.
   */
  async join(key: string, left: AbortSignal, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
    left.throwIfAborted();
    const flight = this.underWay.get(key) ?? this.start(key, begin);
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

  private start(key: string, begin: (signal: AbortSignal) => Promise<T>): SharedQuery<T> {
    const ending = new AbortController();
    const flight = { outcome: begin(ending.signal), ending, callers: 0 };
    this.underWay.set(key, flight);
    return flight;
  }
}
