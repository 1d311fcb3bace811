import { mkdir, writeFile } from 'node:fs/promises';
import { DuckDBInstance } from '@duckdb/node-api';
import { Packr } from 'msgpackr';
import { writeOldLog, writeOldQueue } from '../backbone/lmdb-files.ts';

/**
 * Messages and files as the last version wrote them: queue messages and dead letters of version 1, whose receipts are
 * whole ms, in LMDB files, and a DuckDB file without the column `sub`. They are written out here, because this version's own functions write what is new.
 */

const { pack } = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

export interface OldPublish {
  readonly farm: string;
  readonly field: string;
  readonly sensor: string;
  readonly topic: string;
  readonly payload: string;
  /** Whole Unix ms. */
  readonly received: number;
}

const rowOf = ({ farm, field, sensor, topic, payload, received }: OldPublish) => [
  farm,
  field,
  sensor,
  topic,
  Buffer.from(payload),
  received,
];

/** A queue message. Batches of sensors leave the origin out. */
export function oldBatch(id: string, publishes: readonly OldPublish[], origin?: 'import' | 'replay'): Uint8Array {
  const message = [1, id, publishes.map(rowOf)];
  return pack(origin === undefined ? message : [...message, origin]);
}

/** An entry of the dead-letter log. Earlier ones have no writer. `at` is Unix ms. */
export function oldLetter(publish: OldPublish, reason: string, at: number, writer?: string): Uint8Array {
  const letter = [1, rowOf(publish), reason, 'in words', at];
  return pack(writer === undefined ? letter : [...letter, writer]);
}

/** The mark of a letter that was discarded, in the same log. */
export function oldMark(farm: string, offset: number, at: number): Uint8Array {
  return pack([1, 'mark', farm, offset, 'discarded', 'anna', at]);
}

/** A command that waits for its sensor, an entry of the commands log. `at` and `expires` are Unix ms. */
export function oldCommand(
  id: string,
  farm: string,
  sensor: string,
  payload: string,
  at: number,
  expires: number,
): Uint8Array {
  return pack([1, 'queued', id, farm, sensor, Buffer.from(payload), at, expires, 'anna']);
}

/** That a command was acknowledged by its sensor, in the same log. */
export function oldDelivery(id: string, farm: string, sensor: string, at: number): Uint8Array {
  return pack([1, 'delivered', id, farm, sensor, at]);
}

/** An entry of the event log. */
export function oldEvent(
  id: string,
  farm: string,
  sensor: string,
  ts: number,
  values: readonly [number, number],
): Uint8Array {
  return pack([1, 'overwritten', id, farm, sensor, 'moisture', ts, ...values, null, 'batch', ts, 'live']);
}

type OldReading = [
  farm: string,
  sensor: string,
  ts: number,
  received: number,
  values: Record<string, number>,
  deviceTs?: number | null,
  backfill?: boolean,
];
type OldChange = [farm: string, sensor: string, from: number, to: number];

/** An entry of the live log. */
export function oldEntry(id: string, readings: readonly OldReading[], changed?: readonly OldChange[]): Uint8Array {
  return pack(changed === undefined ? [1, id, readings] : [1, id, readings, changed]);
}

/** One row of the table `readings`. Of rows that differ in their values only, the last one counts. */
export type OldRow = [farm: string, sensor: string, metric: string, ts: number, value: number, received: number];

async function writeStore(file: string, rows: readonly OldRow[]): Promise<void> {
  const instance = await DuckDBInstance.create(file);
  const connection = await instance.connect();
  await connection.run(`
    CREATE TABLE IF NOT EXISTS readings (
      farm VARCHAR NOT NULL, sensor VARCHAR NOT NULL, metric VARCHAR NOT NULL,
      ts BIGINT NOT NULL, value DOUBLE NOT NULL, received BIGINT NOT NULL
    )`);
  for (const row of rows) {
    const values = row.map((cell) => (typeof cell === 'string' ? `'${cell}'` : cell));
    await connection.run(`INSERT INTO readings VALUES (${values.join(', ')})`);
  }
  connection.closeSync();
  instance.closeSync();
}

export interface OldFolder {
  readonly registry: string;
  readonly adminToken: string;
  readonly rows: readonly OldRow[];
  readonly queue: readonly Uint8Array[];
  readonly live: readonly Uint8Array[];
  readonly letters: readonly Uint8Array[];
  readonly commands?: readonly Uint8Array[];
  readonly events?: readonly Uint8Array[];
}

/** Writes a data folder as the last version left it. Resolves with the offsets of what is in the dead-letter log. */
export async function writeOldFolder(data: string, given: OldFolder): Promise<number[]> {
  await mkdir(data, { recursive: true });
  await writeFile(`${data}/registry.yaml`, given.registry);
  await writeFile(`${data}/admin-token`, given.adminToken, { mode: 0o600 });
  await writeFile(`${data}/session-key`, 'k'.repeat(86), { mode: 0o600 });
  await writeStore(`${data}/readings.duckdb`, given.rows);
  const numbered = (bodies: readonly Uint8Array[], first: number) =>
    bodies.map((body, i) => [first + i, body] as const);
  await writeOldQueue(`${data}/queue`, { messages: numbered(given.queue, 1), attempts: [], handedOut: 0 });
  const log = { first: 0, written: Date.now(), marks: [] };
  const live = numbered(given.live, 0);
  await writeOldLog(`${data}/log/live`, { ...log, epoch: 'old live', next: live.length, entries: live });
  const letters = numbered(given.letters, 0);
  const onlyCopies = {
    dead: letters,
    commands: numbered(given.commands ?? [], 0),
    events: numbered(given.events ?? [], 0),
  };
  for (const [name, entries] of Object.entries(onlyCopies)) {
    if (entries.length === 0 && name !== 'dead') continue;
    await writeOldLog(`${data}/log/${name}`, { ...log, epoch: `old ${name}`, next: entries.length, lived: 0, entries });
  }
  return letters.map(([offset]) => offset);
}
