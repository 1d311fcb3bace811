import type { Follower, Log, LogEntry, LogHead, LogPosition } from '../../backbone/ports/log.ts';

/** A log that keeps its entries in memory, for tests that need no disk and no server. */
export class MemoryLog implements Log {
  readonly entries: LogEntry[] = [];
  readonly state = { is: 'up' } as const;
  private readonly followers = new Set<(entries: readonly LogEntry[]) => void | Promise<void>>();

  async append(body: Uint8Array): Promise<void> {
    const entry = { offset: this.entries.length, body };
    this.entries.push(entry);
    for (const follower of this.followers) await follower([entry]);
  }

  async read(from: LogPosition, limit: number): Promise<LogEntry[]> {
    const offset = typeof from === 'object' ? from.offset : from === 'first' ? 0 : this.entries.length;
    return this.entries.slice(offset, offset + limit);
  }

  async follow(from: LogPosition, handler: (entries: readonly LogEntry[]) => void | Promise<void>): Promise<Follower> {
    const before = await this.read(from, Number.POSITIVE_INFINITY);
    if (before.length > 0) await handler(before);
    this.followers.add(handler);
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    return {
      ended,
      stop: async () => {
        this.followers.delete(handler);
        end();
      },
    };
  }

  async head(): Promise<LogHead> {
    return { epoch: 'memory', first: 0, next: this.entries.length };
  }

  watch(): () => void {
    return () => {};
  }

  async close(): Promise<void> {}
}
