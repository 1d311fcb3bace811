import { explain, StoreUnavailable } from '../../core/errors.ts';
import type { InfluxAddress } from './address.ts';
import { DatabaseMissing, Forbidden } from './answers.ts';
import { type InfluxGeneration, query } from './http.ts';
import * as ql from './ql.ts';

/** The database that readings are in, and its making. */
export class InfluxDatabase {
  private readonly address: InfluxAddress;
  private readonly generation: InfluxGeneration;
  private readonly timeoutMs: number;

  constructor(address: InfluxAddress, generation: InfluxGeneration, timeoutMs: number) {
    this.address = address;
    this.generation = generation;
    this.timeoutMs = timeoutMs;
  }

  /**
   * Makes the database unless it is there; resolves with whether it did. Rejects with StoreUnavailable when it cannot be made or seen: on 2.x a bucket belongs to an
   * organization and has a retention, which somebody has to decide; 3.x makes a database at the first write.
   */
  async ensure(): Promise<boolean> {
    const { database } = this.address;
    try {
      if ((await this.run('SHOW DATABASES')).includes(database) || this.generation === 3) return false;
      if (this.generation === 2) throw new Error(NO_BUCKET);
      await this.make();
      return true;
    } catch (cause) {
      throw new StoreUnavailable(`InfluxDB's database ${database} cannot be used: ${explain(cause)}`, { cause });
    }
  }

  /**
   * Does `work`, and once more after making the database when it fails for want of that. Resolves with whether it was made. Rejects as
   * `work` does, or with StoreUnavailable when the database may not be made.
   */
  async mend(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return false;
    } catch (error) {
      if (!(error instanceof DatabaseMissing || error instanceof Forbidden)) throw error;
    }
    const isMade = await this.ensure();
    await work();
    return isMade;
  }

  private async make(): Promise<void> {
    try {
      await this.run(`CREATE DATABASE ${ql.name(this.address.database)}`);
    } catch (cause) {
      if (!(cause instanceof Forbidden)) throw cause;
      throw new Error(`it is not there, and the user in LOAM_STORE may not make it: ${explain(cause)}`, { cause });
    }
  }

  private async run(statement: string): Promise<unknown[]> {
    const found: unknown[] = [];
    const { timeoutMs } = this;
    const asking = { timeoutMs, signal: AbortSignal.timeout(timeoutMs), oneByOne: true };
    for await (const { values } of query(this.address, [statement], asking)) found.push(...values.flat());
    return found;
  }
}

const NO_BUCKET =
  'there is no such bucket, or the token may not read it: make it, or a token that reads and writes it (before InfluxDB 2.3 it needs a DBRP mapping, too)';
