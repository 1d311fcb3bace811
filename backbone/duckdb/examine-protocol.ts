import { z } from 'zod';

/** What the process is asked that looks at a file of DuckDB, or writes it anew, and what it answers. */

const rowRange = z.tuple([z.number(), z.number()]);
/** Row ids from one up to another, which is not included. */
export type RowRange = z.infer<typeof rowRange>;

const keptPlace = z.object({ epoch: z.string(), offset: z.number(), taken: z.number() });

const askSchema = z.discriminatedUnion('is', [
  z.object({ is: z.literal('look'), file: z.string(), memoryLimitMb: z.number() }),
  z.object({
    is: z.literal('copy'),
    file: z.string(),
    memoryLimitMb: z.number(),
    into: z.string(),
    /** The rows that are copied, in their order. */
    rows: z.array(rowRange),
    place: keptPlace.optional(),
  }),
  /** A new file without a row. */
  z.object({ is: z.literal('fresh'), memoryLimitMb: z.number(), into: z.string() }),
]);
export type ExamineAsk = z.infer<typeof askSchema>;

const lostRows = z.object({
  rows: rowRange,
  /** The columns that cannot be read there. */
  columns: z.array(z.string()),
  /** What the others say, where they can be read. */
  sensors: z.array(z.object({ farm: z.string(), sensor: z.string() })),
  measured: rowRange.optional(),
  received: rowRange.optional(),
});
/** Rows that cannot be read, one behind the other. Times are Unix ms, the first and the last. */
export type LostRows = z.infer<typeof lostRows>;

const storeState = z.object({
  is: z.literal('state'),
  rows: z.number(),
  lost: z.array(lostRows),
  /** The first reason that a row could not be read. */
  why: z.string().optional(),
  place: keptPlace.optional(),
  isPlaceRead: z.boolean(),
});
export type StoreState = z.infer<typeof storeState>;

const saidSchema = z.discriminatedUnion('is', [
  z.object({ is: z.literal('at'), rows: z.number(), of: z.number() }),
  storeState,
  z.object({ is: z.literal('copied'), rows: z.number() }),
  /** The file cannot be opened, or the copy cannot be written. */
  z.object({ is: z.literal('failed'), why: z.string() }),
]);
export type ExamineSaid = z.infer<typeof saidSchema>;

export function askOf(text: string): ExamineAsk {
  return askSchema.parse(JSON.parse(text));
}

export function saidOf(line: string): ExamineSaid {
  return saidSchema.parse(JSON.parse(line));
}
