import { RegistryInvalid } from '../../../core/errors.ts';
import type { Change, Edit } from '../../../telemetry/registry/registry.ts';
import { canonical, KINDS, type Kind, versionOf } from '../../../telemetry/registry/things.ts';
import type { PostgresSession } from './session.ts';

/** Where a copy of the registry stands in the changes: at the one numbered `seq`, which was made by the edit `mark`. */
export interface RegistryPosition {
  /** Another one is another registry. */
  readonly database: string;
  readonly seq: number;
  readonly mark: string;
}

/** The one row of `loam.head`: the newest position, and the version of the tables. */
export interface Head extends RegistryPosition {
  readonly tables: number;
}

/** A thing as the tables have it. */
export interface ThingRow {
  readonly kind: string;
  readonly id: string;
  /** JSON; null for one that is removed. */
  readonly value: string | null;
}

/** Rejects with what `PostgresSession.query` does, and with RegistryInvalid when there is no such row. */
export async function readHead(session: PostgresSession): Promise<Head> {
  // A number of JavaScript's is exact for all the edits that there will ever be.
  const [head] = await session.query<Head>('SELECT tables, database, seq::float8 AS seq, mark FROM loam.head');
  if (head === undefined) throw new RegistryInvalid('loam.head is empty');
  return head;
}

/** The row as the edit that makes it so. Throws RegistryInvalid when it is of a kind that this Loam does not know. */
export function editOf({ kind, id, value }: ThingRow): Edit {
  return { kind: kindOf(kind, id), id, value: value === null ? null : JSON.parse(value) };
}

/** Throws RegistryInvalid. */
export function kindOf(text: string, id: string): Kind {
  const kind = KINDS.find((known) => known === text);
  if (kind === undefined) throw new RegistryInvalid(`${text} ${id}: this Loam knows no such kind of thing`);
  return kind;
}

/** A change as columns of the tables. */
export interface ChangeColumns {
  readonly kind: Kind;
  readonly id: string;
  readonly version: string | null;
  readonly old: string | null;
  readonly new: string | null;
}

export function columnsOf({ kind, id, before, after }: Change): ChangeColumns {
  return {
    kind,
    id,
    version: after === undefined ? null : versionOf(kind, id, after),
    old: before === undefined ? null : canonical(kind, before),
    new: after === undefined ? null : canonical(kind, after),
  };
}
