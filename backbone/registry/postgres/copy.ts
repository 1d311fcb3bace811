import pLimit from 'p-limit';
import { RegistryInvalid } from '../../../core/errors.ts';
import { changesOf, verify } from '../../../telemetry/registry/checks.ts';
import type { Change } from '../../../telemetry/registry/registry.ts';
import { RegistryState } from '../../../telemetry/registry/state.ts';
import { editOf, type Head, type RegistryPosition, readHead, type ThingRow } from './rows.ts';
import { newerTables, TABLES_VERSION } from './schema.ts';
import type { PostgresSession } from './session.ts';
import { readSnapshot } from './snapshot.ts';

interface FollowedRow extends ThingRow {
  readonly seq: number;
  readonly mark: string;
}

/** So many rows at once, or fewer, of so many bytes: a codec may have 1 MB. */
const FOLLOWED = `SELECT seq, mark, kind, id, value FROM (
    SELECT seq::float8 AS seq, mark, kind, id, new::text AS value,
      sum(octet_length(new::text)) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (SELECT * FROM loam.changes WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT 500) AS page
  ) AS page WHERE coalesce(before, 0) < 4000000 ORDER BY seq`;

/**
 * This process's copy of the registry: the things in memory, and the place in the changes up to which it has them. It
 * moves from edit to edit, never half way into one.
 */
export class RegistryCopy {
  readonly state = new RegistryState();
  /** Whoever moves the copy does it alone: following, editing and reading everything anew take turns here. */
  readonly alone = pLimit(1);
  private readonly listeners = new Set<(changes: readonly Change[]) => void>();
  private at: RegistryPosition;

  private constructor(at: RegistryPosition) {
    this.at = at;
  }

  /** Reads the whole registry. Rejects as `PostgresSession.query` does, and with RegistryInvalid. */
  static async read(session: PostgresSession): Promise<RegistryCopy> {
    const copy = new RegistryCopy({ database: '', seq: 0, mark: '' });
    copy.at = await readSnapshot(session, (slice) => copy.state.apply(copy.state.check(slice)));
    return copy;
  }

  get position(): RegistryPosition {
    return this.at;
  }

  watch(listener: (changes: readonly Change[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Puts checked changes into force, with which the copy stands at `position`. */
  move(changes: readonly Change[], { database, seq, mark }: RegistryPosition): void {
    this.state.apply(changes);
    this.at = { database, seq, mark };
    if (changes.length > 0) for (const listener of this.listeners) listener(changes);
  }

  /**
   * Takes in every edit that was made since, each as a whole. Resolves with false when these are not the changes that the
   * copy has followed so far: a backup was restored, or the ones that it lacks are gone. It is to be read anew then.
   * Rejects as `PostgresSession.query` does, and with RegistryInvalid when this Loam does not understand an edit.
   */
  async follow(session: PostgresSession): Promise<boolean> {
    const head = await readHead(session);
    refuseNewer(head);
    if (!this.leadsTo(head)) return false;
    let edit: FollowedRow[] = [];
    // The first one is known already: it shows that nothing else stands in its place.
    let next = Math.max(this.at.seq, 1);
    while (this.at.seq < head.seq && next <= head.seq) {
      const rows = await session.query<FollowedRow>(FOLLOWED, [next, head.seq]);
      if (rows.length === 0) return false;
      for (const row of rows) {
        if (row.seq !== next) return false;
        next += 1;
        if (row.seq === this.at.seq) {
          if (row.mark !== this.at.mark) return false;
          continue;
        }
        if (edit[0] && edit[0].mark !== row.mark) {
          this.take(edit);
          edit = [];
        }
        edit.push(row);
      }
    }
    this.take(edit);
    return true;
  }

  /**
   * Reads the whole registry anew, and puts into force what has changed. What was known stays when it is empty: then it
   * was emptied by mistake, and would lock everybody out. Rejects as `read`.
   */
  async readAnew(session: PostgresSession): Promise<void> {
    const changes: Change[] = [];
    const there = new Set<string>();
    let isEmpty = true;
    const head = await readSnapshot(session, (slice) => {
      for (const { kind, id } of slice) there.add(`${kind} ${id}`);
      if (slice.some(({ kind }) => kind === 'farm' || kind === 'user')) isEmpty = false;
      changes.push(...changesOf(this.state, slice));
    });
    refuseNewer(head);
    if (isEmpty && this.state.countOf('farm') + this.state.countOf('user') > 0) {
      throw new RegistryInvalid(
        'it has neither a farm nor a user: it was emptied by mistake, or is still to be restored',
      );
    }
    for (const { kind, id } of [...this.state.things()]) {
      if (!there.has(`${kind} ${id}`)) changes.push(...changesOf(this.state, [{ kind, id, value: null }]));
    }
    verify(this.state, changes);
    this.move(changes, head);
  }

  private leadsTo({ database, seq, mark }: Head): boolean {
    if (database !== this.at.database) return false;
    return seq > this.at.seq || (seq === this.at.seq && mark === this.at.mark);
  }

  private take(rows: readonly FollowedRow[]): void {
    const last = rows.at(-1);
    if (last === undefined) return;
    const changes = this.state.check(rows.map(editOf));
    this.move(changes, { database: this.at.database, seq: last.seq, mark: last.mark });
  }
}

function refuseNewer({ tables }: Head): void {
  if (tables > TABLES_VERSION) throw new RegistryInvalid(newerTables(tables));
}
