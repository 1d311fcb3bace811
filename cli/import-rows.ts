import { z } from 'zod';
import { quote } from '../telemetry/formats/decoded.ts';
import { AutumnHour, type LineAt, type PlacedLine } from '../telemetry/logger-files/autumn-hour.ts';
import type { FileRecord } from '../telemetry/logger-files/records.ts';
import { timeCell } from '../telemetry/logger-files/table.ts';
import { recordsOf } from './import-file.ts';
import type { ImportPlan } from './import-plan.ts';

/** A line that was read: its number, its time (an instant), its values by the names they are mapped to, and their sensor. */
export type CsvRow = readonly [line: number, ts: number, values: Readonly<Record<string, number>>, sensor: string];

/** A line of which something was not taken, and why. */
export const refusedLine = z.object({
  line: z.number(),
  path: z.string(),
  reason: z.string(),
  explanation: z.string(),
});
export type RefusedLine = z.infer<typeof refusedLine>;

/** What is made of a piece of the file. */
export interface ReadPiece {
  readonly rows: readonly CsvRow[];
  readonly refused: readonly RefusedLine[];
  /** Number of the newest line that was read, and the bytes up to there. */
  readonly line: number;
  readonly bytes: number;
  /** Cells that say that there is no value. */
  readonly missing: number;
}

interface DraftRow extends LineAt {
  readonly number: number;
}

/** Reads the lines of a file's data, each at its time. Twice the same file gives twice the same. */
export async function* rowsOf(plan: ImportPlan): AsyncGenerator<ReadPiece> {
  const { table } = plan.file;
  const hour = new AutumnHour<DraftRow>();
  const isData = (cells: readonly string[]) => plan.readTimes(timeCell(cells, table.time)).length > 0;
  let [line, bytes] = [0, plan.file.size];
  for await (const record of recordsOf(plan.file, isData)) {
    ({ number: line, bytes } = record);
    const read = draftsOf(record, plan);
    const placed = pieceOf(
      read.drafts.flatMap((draft) => hour.add(draft)),
      plan,
    );
    yield { rows: placed.rows, refused: [...placed.refused, ...read.refused], line, bytes, missing: read.missing };
  }
  yield { ...pieceOf(hour.end(), plan), line, bytes, missing: 0 };
}

function pieceOf(placed: readonly PlacedLine<DraftRow>[], plan: ImportPlan): Pick<ReadPiece, 'rows' | 'refused'> {
  const rows: CsvRow[] = [];
  const refused: RefusedLine[] = [];
  for (const { line, ts } of placed) {
    if (ts === undefined) refused.push(untold(line.number, plan));
    else rows.push([line.number, ts, line.values, line.sensor]);
  }
  return { rows, refused };
}

function untold(line: number, { timeName, zone }: ImportPlan): RefusedLine {
  const explanation = `the clocks of ${zone} showed its time twice, and the lines around it go back and forth, so their order does not say which is meant; times in UTC or with their offset do`;
  return { line, path: timeName, reason: 'double_time', explanation };
}

interface ReadLine {
  /** One for each sensor that the line has values of. */
  readonly drafts: readonly DraftRow[];
  readonly refused: readonly RefusedLine[];
  readonly missing: number;
}

function noTime(when: string, { readShown, zone, allowedTime }: ImportPlan): string {
  if (readShown(when).length === 0) return `${quote(when)} is no time; allowed: ${allowedTime}`;
  return `the clocks of ${zone} skipped ${quote(when)} in spring; for a logger whose clock never changes, --zone says its offset, such as +01:00`;
}

/** What a line says. With one cell that cannot be read nothing of it is taken; a line without values says nothing. */
function draftsOf({ number, part, cells, why }: FileRecord, plan: ImportPlan): ReadLine {
  const refusal = (path: string, reason: string, explanation: string): ReadLine => ({
    drafts: [],
    refused: [{ line: number, path, reason, explanation }],
    missing: 0,
  });
  if (!cells) return refusal('line', 'not_csv', `${why}; nothing of this line was taken`);
  const when = timeCell(cells, plan.file.table.time);
  const [first, second] = plan.readTimes(when);
  if (first === undefined) return refusal(plan.timeName, 'bad_time', noTime(when, plan));
  const label = plan.named === undefined ? '' : (cells[plan.named.place] ?? '');
  const named = plan.named?.sensorOf(label);
  if (plan.named !== undefined && named === undefined) {
    const explanation = `${quote(label)} is no registered sensor of the farm; --sensor-name ${quote(label)}=SENSOR says which it is`;
    return refusal(plan.named.name, 'unknown_sensor', explanation);
  }
  const values = new Map<string, Record<string, number>>();
  let missing = 0;
  for (const { place, name, metric, sensor = named ?? plan.sensor, read, allowed } of plan.columns) {
    const cell = cells[place] ?? '';
    if (cell === '') continue;
    const value = read(cell);
    if (value === 'missing') missing++;
    else if (value === undefined || !Number.isFinite(value)) {
      const what = `${quote(cell)} is no number; nothing of this line was taken; allowed: ${allowed}`;
      return refusal(name, 'not_a_number', what);
    } else {
      const known = values.get(sensor);
      if (known) known[metric] = value;
      else values.set(sensor, { [metric]: value });
    }
  }
  const drafts = [...values].map(([sensor, of]) => ({ number, sensor, part, first, second, values: of }));
  return { drafts, refused: [], missing };
}
