import { RegistryInvalid } from '../../../core/errors.ts';
import { type Kind, readThing, type Things } from '../../../telemetry/registry/things.ts';
import type { RegistryChange } from '../../ports/registry.ts';
import { kindOf } from './rows.ts';
import type { PostgresSession } from './session.ts';

const MOST = 1_000;

interface AuditRow {
  readonly seq: number;
  readonly when: number;
  readonly who: string;
  readonly kind: string;
  readonly id: string;
  readonly old: string | null;
  readonly new: string | null;
}

/** So many rows, or fewer, of so many bytes: a codec may have 1 MB. */
const AUDIT = auditSql('WHERE seq > $1 ORDER BY seq', 'ORDER BY seq');
const NEWEST = auditSql('WHERE seq < $1 ORDER BY seq DESC', 'ORDER BY seq DESC');

function auditSql(which: string, order: string): string {
  return `SELECT seq, "when", who, kind, id, old, new FROM (
    SELECT seq::float8 AS seq, floor(extract(epoch FROM at) * 1000)::float8 AS "when", who, kind, id,
      old::text AS old, new::text AS new,
      sum(coalesce(octet_length(old::text), 0) + coalesce(octet_length(new::text), 0))
        OVER (${order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (SELECT * FROM loam.changes ${which} LIMIT $2) AS page
  ) AS page WHERE coalesce(before, 0) < 4000000 ${order}`;
}

/**
 * The changes after the one numbered `from`, at most `limit`, oldest first. One whose thing this Loam does not understand,
 * because another version wrote it, is left out; the numbers show that. Rejects as `PostgresSession.query` does.
 */
export async function readChanges(
  session: PostgresSession,
  from: number,
  limit: number,
): Promise<readonly RegistryChange[]> {
  const most = Math.min(Math.max(Math.trunc(limit), 0), MOST);
  const rows = await session.query<AuditRow>(AUDIT, [Math.max(Math.trunc(from), 0), most]);
  return rows.flatMap(changeOf);
}

/** The newest changes before the one numbered `before`, newest first; otherwise as `readChanges`. */
export async function readNewestChanges(
  session: PostgresSession,
  before: number | undefined,
  limit: number,
): Promise<readonly RegistryChange[]> {
  const most = Math.min(Math.max(Math.trunc(limit), 0), MOST);
  const rows = await session.query<AuditRow>(NEWEST, [Math.trunc(before ?? Number.MAX_SAFE_INTEGER), most]);
  return rows.flatMap(changeOf);
}

function changeOf(row: AuditRow): RegistryChange[] {
  try {
    return [understood(row)];
  } catch (error) {
    if (error instanceof RegistryInvalid) return [];
    throw error;
  }
}

function understood(row: AuditRow): RegistryChange {
  const kind = kindOf(row.kind, row.id);
  switch (kind) {
    case 'farm':
      return { kind, ...about(row), ...things(kind, row) };
    case 'field':
      return { kind, ...about(row), ...things(kind, row) };
    case 'sensor':
      return { kind, ...about(row), ...things(kind, row) };
    case 'metric':
      return { kind, ...about(row), ...things(kind, row) };
    case 'user':
      return { kind, ...about(row), ...things(kind, row) };
    case 'source':
      return { kind, ...about(row), ...things(kind, row) };
    case 'setting':
      return { kind, ...about(row), ...things(kind, row) };
    case 'codec':
      return { kind, ...about(row), ...things(kind, row) };
    case 'mapping':
      return { kind, ...about(row), ...things(kind, row) };
  }
}

function about({ seq, when, who, id }: AuditRow): Pick<RegistryChange, 'seq' | 'when' | 'who' | 'id'> {
  return { seq, when, who, id };
}

function things<K extends Kind>(
  kind: K,
  row: AuditRow,
): { before: Things[K] | undefined; after: Things[K] | undefined } {
  return { before: thing(kind, row.id, row.old), after: thing(kind, row.id, row.new) };
}

function thing<K extends Kind>(kind: K, id: string, text: string | null): Things[K] | undefined {
  return text === null ? undefined : readThing(kind, id, JSON.parse(text));
}
