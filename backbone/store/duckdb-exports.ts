import type { DuckDBConnection, DuckDBInstance, DuckDBResult } from '@duckdb/node-api';
import type { Statement } from './duckdb-sql.ts';
import type { Turns } from './duckdb-turns.ts';
import type { LatestValue } from './port.ts';

interface Export {
  readonly statement: Statement;
  connection?: DuckDBConnection;
  result?: DuckDBResult;
}

/** Each holds a sorted result, on disk where it is large. */
const MAX_OPEN = 32;

/** Exports under way, each on a connection of its own, read chunk by chunk as they are asked for. */
export class Exports {
  private readonly instance: DuckDBInstance;
  private readonly turns: Turns;
  private readonly open = new Map<number, Export>();

  constructor(instance: DuckDBInstance, turns: Turns) {
    this.instance = instance;
    this.turns = turns;
  }

  /** Throws when too many are under way. The statement runs when the first values are asked for. */
  begin(id: number, statement: Statement): void {
    if (this.open.size >= MAX_OPEN) throw new Error(`${MAX_OPEN} exports are under way`);
    this.open.set(id, { statement });
  }

  /** The next values, one call at a time; an empty list, and the export is over. */
  next(id: number): Promise<LatestValue[]> {
    return this.turns.run(async () => {
      const found = this.open.get(id);
      if (found === undefined) throw new Error('this export is not under way');
      found.connection ??= await this.instance.connect();
      found.result ??= await found.connection.stream(found.statement.sql, found.statement.values);
      const values = (await found.result.fetchChunk())?.getRows() ?? [];
      if (values.length === 0) this.leave(id);
      return values.map(([sensor, metric, ts, value, received]) => ({
        sensor: String(sensor),
        metric: String(metric),
        ts: Number(ts),
        value: Number(value),
        received: Number(received),
      }));
    });
  }

  /** Ends an export before its end. */
  leave(id: number): void {
    const connection = this.open.get(id)?.connection;
    this.open.delete(id);
    connection?.interrupt();
    connection?.closeSync();
  }

  leaveAll(): void {
    for (const id of this.open.keys()) this.leave(id);
  }
}
