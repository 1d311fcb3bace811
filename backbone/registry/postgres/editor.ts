import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import pLimit from 'p-limit';
import { DatabaseError } from 'pg';
import { clock } from '../../../core/clock.ts';
import { explain, RegistryConflict, RegistryInvalid, RegistryUnavailable } from '../../../core/errors.ts';
import type { Applied, Change, Edit } from '../../../telemetry/registry/registry.ts';
import { versionOf } from '../../../telemetry/registry/things.ts';
import type { PostgresAddress } from './address.ts';
import type { RegistryCopy } from './copy.ts';
import { columnsOf, type RegistryPosition } from './rows.ts';
import { EDIT_LOCK } from './schema.ts';
import { PostgresSession } from './session.ts';

/** How long an edit may take from its turn in this process on; a large one a millisecond more for each thing. */
const EDIT_MS = 5_000;
/** The server undoes the edit of a process that says nothing for so long, so that it does not keep all others from editing. */
const SILENCE_MS = 4_000;
/** How long the connection is kept for the next edit. */
const IDLE_MS = 5_000;
const MOST_WAITING = 1_000;
const MOST_EDITS = 20_000;
const MOST_BYTES = 64 * 1024 ** 2;
/** Rows in one statement. */
const SLICE = 1_000;
const MOST_WHO = 200;

/**
 * Edits the registry, over a connection of its own, so that following never waits for an edit. Edits of one process are
 * made one after another, and those of all processes by one lock of the server.
 */
export class RegistryEdits {
  private readonly address: PostgresAddress;
  private readonly copy: RegistryCopy;
  private readonly onOther: () => void;
  private readonly turn = pLimit(1);
  private session: PostgresSession | undefined;
  /** How often something could not be done. What waited then is refused too: otherwise each would wait in its turn for a server that is away. */
  private failures = 0;
  private idle: NodeJS.Timeout | undefined;

  /** `onOther` is called when the copy has to be read anew before anything can be edited. */
  constructor(address: PostgresAddress, copy: RegistryCopy, onOther: () => void) {
    this.address = address;
    this.copy = copy;
    this.onOther = onOther;
  }

  /** As `RegistryEditor.apply`. */
  async apply(edits: readonly Edit[], who: string): Promise<Applied> {
    if (edits.length > MOST_EDITS) {
      throw new RegistryInvalid(`an edit takes at most ${MOST_EDITS} things at once, and this one has ${edits.length}`);
    }
    return await this.inTurn((session) => this.edit(session, edits, who, timeLeft(EDIT_MS + edits.length)));
  }

  /** Runs `work` when it is its turn, with a connection. Rejects with RegistryUnavailable, or with what is wrong with an edit. */
  async inTurn<T>(work: (session: PostgresSession) => Promise<T>): Promise<T> {
    if (this.turn.pendingCount >= MOST_WAITING) throw new RegistryUnavailable('too many edits are waiting');
    const before = this.failures;
    return await this.turn(async () => {
      if (this.failures !== before) {
        throw new RegistryUnavailable(`${this.address.shown}: an edit before this one could not be made`);
      }
      try {
        return await work(await this.connection());
      } catch (error) {
        const refusal = this.refusal(error);
        if (refusal instanceof RegistryUnavailable) this.failures += 1;
        throw refusal;
      } finally {
        this.rest();
      }
    });
  }

  /** Waits for the edits under way, at most as long as one may take, and ends the connection. */
  async close(): Promise<void> {
    await this.turn(() => {
      clearTimeout(this.idle);
      this.session?.close();
    });
  }

  private async connection(): Promise<PostgresSession> {
    clearTimeout(this.idle);
    if (this.session === undefined || this.session.isOver) {
      this.session = (await PostgresSession.open(this.address)).session;
    }
    return this.session;
  }

  private rest(): void {
    this.idle = setTimeout(() => this.session?.close(), IDLE_MS);
    this.idle.unref();
  }

  private async edit(
    session: PostgresSession,
    edits: readonly Edit[],
    who: string,
    left: () => number,
  ): Promise<Applied> {
    try {
      await session.run(begin(left()), left());
      // Only now: while this process waits for the lock, it follows those who have it.
      return await this.copy.alone(() => this.editLocked(session, edits, who, left));
    } catch (error) {
      await undo(session);
      throw error;
    }
  }

  private async editLocked(
    session: PostgresSession,
    edits: readonly Edit[],
    who: string,
    left: () => number,
  ): Promise<Applied> {
    await this.catchUp(session);
    const changes = this.copy.state.check(edits);
    if (changes.length === 0) {
      await session.run('ROLLBACK', left());
    } else {
      const position = await write(session, this.copy.position, changes, who, left);
      if (left() <= 0) throw new Error('it took too long');
      await session.run('COMMIT', left());
      this.copy.move(changes, position);
    }
    return { versions: edits.map(({ kind, id }) => versionNow(this.copy, kind, id)) };
  }

  private async catchUp(session: PostgresSession): Promise<void> {
    let isSame = false;
    try {
      isSame = await this.copy.follow(session);
    } catch (error) {
      if (!(error instanceof RegistryInvalid)) throw error;
      throw new RegistryUnavailable(`an edit of others is not understood: ${error.message}`, { cause: error });
    }
    if (isSame) return;
    this.onOther();
    throw new RegistryUnavailable('the registry was replaced, and is being read anew');
  }

  private refusal(error: unknown): Error {
    if (error instanceof RegistryInvalid || error instanceof RegistryConflict || error instanceof RegistryUnavailable) {
      return error;
    }
    return new RegistryUnavailable(`${this.address.shown}: ${this.why(error)}`, { cause: error });
  }

  private why(error: unknown): string {
    const code = error instanceof DatabaseError ? error.code : undefined;
    if (code === '42501') return `this process may only read the registry: ${explain(error)}`;
    if (code === '55P03') return 'another process has been editing for too long';
    return explain(error);
  }
}

/** The ms that are left of `ms` from now on. */
function timeLeft(ms: number): () => number {
  const end = clock.passed() + ms;
  return () => Math.ceil(end - clock.passed());
}

/**
 * Begins the transaction and waits for the lock. Each statement sees what was committed before it, whatever the database
 * has as its default: what is read after the lock is the newest there is. A yes means that the edit is on the disk.
 */
function begin(lockMs: number): string {
  return `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL lock_timeout = ${Math.max(lockMs - 500, 1)};
    SET LOCAL idle_in_transaction_session_timeout = ${SILENCE_MS};
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local');
    SELECT ${EDIT_LOCK}`;
}

const WRITE = `WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
      WITH ORDINALITY AS given (kind, id, version, old, new, n)
  ), removed AS (
    DELETE FROM loam.things USING given
      WHERE things.kind = given.kind AND things.id = given.id AND given.new IS NULL
  ), kept AS (
    INSERT INTO loam.things (kind, id, version, value)
      SELECT kind, id, version, new::json FROM given WHERE new IS NOT NULL
      ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, value = excluded.value
  )
  INSERT INTO loam.changes (seq, mark, who, place, kind, id, old, new)
    SELECT $6::bigint + n, $7::uuid, $8, $9, kind, id, old::json, new::json FROM given`;
const ADVANCE = `UPDATE loam.head SET seq = $3, mark = $4 WHERE database = $1 AND seq = $2
  RETURNING pg_notify('loam_registry', '')`;

async function write(
  session: PostgresSession,
  from: RegistryPosition,
  changes: readonly Change[],
  who: string,
  left: () => number,
): Promise<RegistryPosition> {
  const columns = changes.map(columnsOf);
  const bytes = columns.reduce((sum, { old, new: next }) => sum + (old?.length ?? 0) + (next?.length ?? 0), 0);
  if (bytes > MOST_BYTES) throw new RegistryInvalid('an edit takes at most 64 MB at once');
  const mark = randomUUID();
  // PostgreSQL keeps no text with a NUL in it.
  const name = who.replaceAll('\0', '').slice(0, MOST_WHO);
  for (let start = 0; start < columns.length; start += SLICE) {
    const slice = columns.slice(start, start + SLICE);
    const lists = (['kind', 'id', 'version', 'old', 'new'] as const).map((key) => slice.map((column) => column[key]));
    await session.query(WRITE, [...lists, from.seq + start, mark, name, hostname()], Math.max(left(), 1));
  }
  const seq = from.seq + columns.length;
  const moved = await session.query(ADVANCE, [from.database, from.seq, seq, mark], Math.max(left(), 1));
  if (moved.length !== 1) throw new Error('somebody edits without the lock');
  return { database: from.database, seq, mark };
}

function versionNow(copy: RegistryCopy, kind: Edit['kind'], id: string): string | undefined {
  const thing = copy.state.get(kind, id);
  return thing === undefined ? undefined : versionOf(kind, id, thing);
}

async function undo(session: PostgresSession): Promise<void> {
  if (session.isOver) return;
  try {
    await session.run('ROLLBACK');
  } catch {
    // The server undoes what was begun on a connection that is over.
    session.close();
  }
}
