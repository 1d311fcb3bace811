import { z } from 'zod';
import { quote } from '../telemetry/formats/decoded.ts';
import type { CsvLine } from './import-file.ts';
import type { ImportPlan } from './import-plan.ts';

/** A line that was read: its number, its time (an instant), and its values by the names they are mapped to. */
export type CsvRow = readonly [line: number, ts: number, values: Readonly<Record<string, number>>];

/** A line of which something was not taken, and why. */
export const refusedLine = z.object({
  line: z.number(),
  path: z.string(),
  reason: z.string(),
  explanation: z.string(),
});
export type RefusedLine = z.infer<typeof refusedLine>;

/** A line as a row to send, or why it is refused; undefined when it has no value in any mapped column. */
export function rowOf({ number: line, cells, why }: CsvLine, plan: ImportPlan): CsvRow | RefusedLine | undefined {
  if (!cells) return { line, path: 'line', reason: 'not_csv', explanation: why };
  const when = cells[plan.time] ?? '';
  const ts = plan.readTime(when);
  if (ts === undefined) {
    return { line, path: plan.time, reason: 'bad_time', explanation: `${quote(when)} is no time` };
  }
  const values: Record<string, number> = {};
  let taken = 0;
  for (const [column, name] of plan.columns) {
    const cell = cells[column] ?? '';
    if (cell === '') continue;
    const value = plan.readNumber(cell);
    if (value === undefined || !Number.isFinite(value)) {
      const explanation = `${quote(cell)} is no number; nothing of this line was taken`;
      return { line, path: column, reason: 'not_a_number', explanation };
    }
    values[name] = value;
    taken++;
  }
  return taken > 0 ? [line, ts, values] : undefined;
}
