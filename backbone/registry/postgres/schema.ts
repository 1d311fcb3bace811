import { DatabaseError } from 'pg';
import { ConfigInvalid, explain } from '../../../core/errors.ts';
import type { PostgresAddress } from './address.ts';
import type { PostgresSession, ServerFacts } from './session.ts';

/** The version of the tables that this Loam reads and writes. */
export const TABLES_VERSION = 1;
/** The one lock of the whole registry: edits and changes of the tables take turns by it. Two numbers that nothing else uses: "Loam", 1. */
export const EDIT_LOCK = 'pg_advisory_xact_lock(1282367853, 1)';
/** Wakes whoever follows the changes. */
export const CHANNEL = 'loam_registry';

const OLDEST_SERVER = 130_000;
const LOCK_MS = 30_000;
/** Every version's step from the one before. A step that was released is never changed. */
const STEPS: readonly string[] = [
  `
  CREATE TABLE loam.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    tables int NOT NULL,
    database uuid NOT NULL DEFAULT gen_random_uuid(),
    seq bigint NOT NULL DEFAULT 0,
    mark uuid NOT NULL DEFAULT gen_random_uuid()
  );
  COMMENT ON TABLE loam.head IS 'One row: version of these tables, id of this registry, and the last edit.';
  INSERT INTO loam.head (tables) VALUES (0);

  CREATE TABLE loam.things (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version text NOT NULL,
    value json NOT NULL,
    PRIMARY KEY (kind, id)
  );
  COMMENT ON TABLE loam.things IS 'The registry as it is. Only Loam writes here: it follows loam.changes.';

  CREATE TABLE loam.changes (
    seq bigint PRIMARY KEY,
    mark uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT statement_timestamp(),
    who text NOT NULL,
    place text NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    old json,
    new json
  );
  COMMENT ON TABLE loam.changes IS 'Every edit. Rows of one edit have one mark; seq has no gaps.';
  `,
];

/**
 * Makes the tables, or brings them to this version, when they are not of it: in one transaction, and one process at a
 * time. Rejects with ConfigInvalid when the server or the tables cannot be worked with, and with the connection's error
 * when it breaks.
 */
export async function prepareTables(
  session: PostgresSession,
  server: ServerFacts,
  address: PostgresAddress,
): Promise<void> {
  if (server.version < OLDEST_SERVER) {
    refuse(
      address,
      `this is PostgreSQL ${Math.floor(server.version / 10_000)}, and 13 is the oldest that is supported`,
    );
  }
  if (server.encoding !== 'UTF8') refuse(address, `the database keeps texts as ${server.encoding} and not as UTF8`);
  try {
    if ((await tablesVersion(session)) < TABLES_VERSION) await migrate(session);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    refuse(address, `${explain(error)}; docs/operations.md says which rights are needed`, error);
  }
  const version = await tablesVersion(session);
  if (version > TABLES_VERSION) refuse(address, newerTables(version));
}

/** What is said of tables that a newer Loam has brought to its version. */
export function newerTables(version: number): string {
  return `its tables are of version ${version}, and this Loam knows ${TABLES_VERSION}: a newer Loam has changed them, start that one`;
}

/** 0 when there are none. */
async function tablesVersion(session: PostgresSession): Promise<number> {
  // From the catalogue's rows: `to_regclass` may still answer as before the wait for the lock, out of the server's caches.
  const found = await session.query(
    "SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'loam' AND relname = 'head'",
  );
  if (found.length === 0) return 0;
  const [head] = await session.query<{ tables: number }>('SELECT tables FROM loam.head');
  if (head === undefined) throw new Error('loam.head is empty');
  return head.tables;
}

async function migrate(session: PostgresSession): Promise<void> {
  // Whatever the database has as its default: what was made while this one waited for the lock has to be seen.
  await session.run(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = ${LOCK_MS}`);
  try {
    await session.query(`SELECT ${EDIT_LOCK}`, [], LOCK_MS + 5_000);
    // Another process may have done it while this one waited.
    const version = await tablesVersion(session);
    // Whoever may not make schemas may still have been given an empty one.
    const schema = await session.query("SELECT FROM pg_namespace WHERE nspname = 'loam'");
    if (schema.length === 0) await session.query('CREATE SCHEMA loam');
    const steps = STEPS.slice(version);
    for (const step of steps) await session.run(step, LOCK_MS);
    if (steps.length > 0) await session.query('UPDATE loam.head SET tables = $1', [TABLES_VERSION]);
    await session.run('COMMIT');
  } catch (error) {
    if (!session.isOver) await session.run('ROLLBACK');
    throw error;
  }
}

function refuse(address: PostgresAddress, why: string, cause?: unknown): never {
  throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${address.shown}: ${why}`, { cause });
}
