import { Closed, ConfigInvalid, explain } from '../../../core/errors.ts';
import { type ConnectionState, type Health, healthOf } from '../../../core/lifecycle.ts';
import type { Logger } from '../../../core/logger.ts';
import type { Applied, Change, Edit, Registry } from '../../../telemetry/registry/registry.ts';
import type { RegistryChange, RegistryPort } from '../../ports/registry.ts';
import { type PostgresAddress, postgresAddress } from './address.ts';
import { readChanges, readNewestChanges } from './audit.ts';
import { RegistryCopy } from './copy.ts';
import { RegistryEdits } from './editor.ts';
import { ChangeFollower } from './follower.ts';
import { prepareTables } from './schema.ts';
import { PostgresSession } from './session.ts';

/** An error in the registry may concern any farm: only those who may see the whole installation see it. */
const INSTALLATION = { kind: 'registry' } as const;

/**
 * Opens the registry in the database that `url` names (`postgresAddress`), and makes its tables when they are not there.
 * Rejects with ConfigInvalid when it cannot be reached, is of a newer Loam, or cannot be understood: a process that knows
 * no registry has nothing to work on with. `once`: it is not followed.
 */
export async function openPostgresRegistry(
  url: string,
  { log, once = false }: { log: Logger; once?: boolean },
): Promise<RegistryPort> {
  const address = postgresAddress(url);
  try {
    const { session, copy } = await read(address);
    return new PostgresRegistry(address, session, copy, log, once);
  } catch (error) {
    if (error instanceof ConfigInvalid) throw error;
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${address.shown}: ${explain(error)}`, { cause: error });
  }
}

async function read(address: PostgresAddress): Promise<{ session: PostgresSession; copy: RegistryCopy }> {
  const { session, server } = await PostgresSession.open(address, true);
  try {
    await prepareTables(session, server, address);
    return { session, copy: await RegistryCopy.read(session) };
  } catch (error) {
    session.close();
    throw error;
  }
}

/** The registry as tables of PostgreSQL: a copy in memory that follows them, and edits in transactions. */
class PostgresRegistry implements RegistryPort {
  readonly keepsChanges = true;
  private readonly copy: RegistryCopy;
  private readonly follower: ChangeFollower;
  private readonly edits: RegistryEdits;
  private isClosed = false;

  constructor(address: PostgresAddress, session: PostgresSession, copy: RegistryCopy, log: Logger, once: boolean) {
    this.copy = copy;
    this.follower = new ChangeFollower(address, copy, log);
    this.edits = new RegistryEdits(address, copy, () => this.follower.wake());
    if (once) session.close();
    else this.follower.begin(session);
  }

  current(): Registry {
    return this.copy.state;
  }

  watch(listener: (changes: readonly Change[]) => void): () => void {
    return this.copy.watch(listener);
  }

  async apply(edits: readonly Edit[], who: string): Promise<Applied> {
    this.refuseClosed();
    return await this.edits.apply(edits, who);
  }

  async changes(from: number, limit: number): Promise<readonly RegistryChange[]> {
    this.refuseClosed();
    return await this.edits.inTurn((session) => readChanges(session, from, limit));
  }

  async newestChanges(before: number | undefined, limit: number): Promise<readonly RegistryChange[]> {
    this.refuseClosed();
    return await this.edits.inTurn((session) => readNewestChanges(session, before, limit));
  }

  get state(): ConnectionState {
    return this.follower.state;
  }

  health(): Health[] {
    return [{ ...healthOf('registry', this.state), optional: true, only: INSTALLATION }];
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.follower.close();
    await this.edits.close();
  }

  private refuseClosed(): void {
    if (this.isClosed) throw new Closed('the registry');
  }
}
