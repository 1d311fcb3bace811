interface Flight<T> {
  readonly outcome: Promise<T>;
  readonly ending: AbortController;
  passengers: number;
}

/** Work under way that several callers ask for at the same time: it is done once for all of them, and ended when the last of them leaves. */
export class Flights<T> {
  private readonly underWay = new Map<string, Flight<T>>();

  /** Resolves or rejects as the work named `key` does, which `begin` begins if nobody has. Rejects with the reason of `left` when that is aborted. */
  async join(key: string, left: AbortSignal, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
    left.throwIfAborted();
    const flight = this.underWay.get(key) ?? this.start(key, begin);
    flight.passengers++;
    let leave = () => {};
    const gone = new Promise<never>((_, reject) => {
      leave = () => reject(left.reason);
    });
    left.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([flight.outcome, gone]);
    } finally {
      left.removeEventListener('abort', leave);
      flight.passengers--;
      if (flight.passengers === 0) {
        if (this.underWay.get(key) === flight) this.underWay.delete(key);
        flight.ending.abort(new Error('everybody has left'));
      }
    }
  }

  private start(key: string, begin: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const ending = new AbortController();
    const flight = { outcome: begin(ending.signal), ending, passengers: 0 };
    this.underWay.set(key, flight);
    return flight;
  }
}
