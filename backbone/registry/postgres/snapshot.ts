import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Edit } from '../../../telemetry/registry/registry.ts';
import { KINDS, type Kind } from '../../../telemetry/registry/things.ts';
import { editOf, type Head, kindOf, readHead, type ThingRow } from './rows.ts';
import type { PostgresSession } from './session.ts';

/** How many things are read at once. */
const PAGE = 500;
/** How many are taken in at once: that takes a millisecond or so, and then it is the turn of the process's other work. */
const SLICE = 50;
/** Of kinds whose things may be large. A codec may have 1 MB. */
const SMALLER_PAGES: Readonly<Partial<Record<Kind, number>>> = { field: 200, codec: 4 };
const PAGE_MS = 10_000;

/** A thing of a kind that a newer Loam knows: whoever does not see it would remove what it names. */
const UNKNOWN = 'SELECT kind, id FROM loam.things WHERE kind <> ALL ($1::text[]) LIMIT 1';
const THINGS = `SELECT kind, id, value::text AS value FROM loam.things
  WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3`;

/**
 * Hands the whole registry, as it is at one moment, to `take`, slice by slice; every thing comes after those that it
 * names. Resolves with that moment's place in the changes. Rejects as `PostgresSession.query` does, with RegistryInvalid,
 * and with what `take` throws.
 */
export async function readSnapshot(session: PostgresSession, take: (slice: readonly Edit[]) => void): Promise<Head> {
  await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    const head = await readHead(session);
    await refuseUnknown(session);
    for (const kind of KINDS) await readKind(session, kind, take);
    await session.run('COMMIT');
    return head;
  } catch (error) {
    if (!session.isOver) await session.run('ROLLBACK');
    throw error;
  }
}

async function refuseUnknown(session: PostgresSession): Promise<void> {
  const unknown = await session.query<ThingRow>(UNKNOWN, [KINDS], PAGE_MS);
  for (const { kind, id } of unknown) kindOf(kind, id);
}

async function readKind(session: PostgresSession, kind: Kind, take: (slice: readonly Edit[]) => void): Promise<void> {
  const size = SMALLER_PAGES[kind] ?? PAGE;
  let last = '';
  for (;;) {
    const rows = await session.query<ThingRow>(THINGS, [kind, last, size], PAGE_MS);
    for (let start = 0; start < rows.length; start += SLICE) {
      take(rows.slice(start, start + SLICE).map(editOf));
      await nextTurn();
    }
    const end = rows.at(-1);
    if (end === undefined || rows.length < size) return;
    last = end.id;
  }
}
