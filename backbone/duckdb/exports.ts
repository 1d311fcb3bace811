import type { DuckDBConnection, DuckDBInstance, DuckDBResult, DuckDBValue } from '@duckdb/node-api';
import type { LimitFunction } from 'p-limit';
import { instantOfMicros } from '../../telemetry/instant.ts';
import type { LatestValue } from '../ports/store.ts';
import type { Statement } from './field-sql.ts';

interface Export {
  readonly statement: Statement;
  connection?: DuckDBConnection;
  result?: DuckDBResult;
  /** Whether a call waits for the database. */
  atWork: boolean;
}

/** Most exports under way: each holds a sorted result, on disk where it is large. */
const MAX_OPEN = 32;

/** Exports under way, each on a connection of its own, read chunk by chunk as they are asked for. */
export class Exports {
  private readonly instance: DuckDBInstance;
  private readonly turns: LimitFunction;
  private readonly open = new Map<number, Export>();

  constructor(instance: DuckDBInstance, turns: LimitFunction) {
    this.instance = instance;
    this.turns = turns;
  }

  /** Throws when too many are under way. The statement runs when the first values are asked for. */
  begin(id: number, statement: Statement): void {
    if (this.open.size >= MAX_OPEN) throw new Error(`${MAX_OPEN} exports are under way`);
    this.open.set(id, { statement, atWork: false });
  }

  /** The next values; an empty list when the export is over. Only one call at a time for each export. */
  next(id: number): Promise<LatestValue[]> {
    return this.turns(async () => {
      const found = this.open.get(id);
      if (found === undefined) throw new Error('this export is not under way');
      found.atWork = true;
      try {
        found.connection ??= await this.instance.connect();
        if (!this.open.has(id)) throw new Error('this export was left');
        found.result ??= await found.connection.stream(found.statement.sql, found.statement.values);
        const values = (await found.result.fetchChunk())?.getRows() ?? [];
        if (values.length === 0) this.open.delete(id);
        return values.map(toValue);
      } finally {
        found.atWork = false;
        if (!this.open.has(id)) found.connection?.closeSync();
      }
    });
  }

  /** Ends an export early. A call of `next` at work is interrupted, and closes the connection itself. */
  leave(id: number): void {
    const found = this.open.get(id);
    this.open.delete(id);
    found?.connection?.interrupt();
    if (found?.atWork === false) found.connection?.closeSync();
  }

  leaveAll(): void {
    for (const id of this.open.keys()) this.leave(id);
  }
}

function toValue([sensor, metric, micros, value, received]: readonly DuckDBValue[]): LatestValue {
  return {
    sensor: String(sensor),
    metric: String(metric),
    ts: instantOfMicros(Number(micros)),
    value: Number(value),
    received: Number(received),
  };
}
